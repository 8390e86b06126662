// nn/layers/rotary.cpp -- rates of rotary positions: powers of the base, and what the scalings make of them.
#include "nn/layers/rotary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace retort {

namespace {
constexpr double kTurn = 2 * std::numbers::pi;

void require_sense(const RotaryConfig& c, std::int64_t width, std::int64_t head_width) {
  if (width < 2 || width % 2 != 0 || width > head_width)
    throw ConfigError("attention: rotary positions turn pairs; got {} features of heads of width {}", width,
                      head_width);
  if (c.scaling == RotaryScaling::none) return;
  const bool by_length = c.scaling != RotaryScaling::linear;
  if (!(c.factor >= 1) || (by_length && !(c.original >= 1)) ||
      (c.scaling == RotaryScaling::llama3 && !(0 < c.low && c.low < c.high)) ||
      (c.scaling == RotaryScaling::yarn && !(0 < c.slow && c.slow < c.fast && c.attention > 0 && c.base > 1)))
    throw ConfigError("attention: no rotary positions by {} with base {}", c.scaling_text(), c.base);
}

/// Which pair makes `turns` turns in `original` positions; seldom a whole number.
double pair_of(double turns, const RotaryConfig& c, double width) {
  return width * std::log(c.original / (turns * kTurn)) / (2 * std::log(c.base));
}

/// The share of pair i's own rate; the rest is the rate divided by the factor.
double kept(const RotaryConfig& c, double rate, double i, double width) {
  if (c.scaling == RotaryScaling::none) return 1;
  if (c.scaling == RotaryScaling::linear) return 0;
  if (c.scaling == RotaryScaling::llama3)
    return std::clamp((c.original * rate / kTurn - c.low) / (c.high - c.low), 0.0, 1.0);
  double first = pair_of(c.fast, c, width), last = pair_of(c.slow, c, width);
  if (c.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, width - 1);
  const double length = last == first ? 0.001 : last - first;  // a step rather than a ramp
  return 1 - std::clamp((i - first) / length, 0.0, 1.0);
}
}  // namespace

std::string RotaryConfig::scaling_text() const {
  switch (scaling) {
    case RotaryScaling::none:
      return "";
    case RotaryScaling::linear:
      return fmt::format("linear(factor={})", factor);
    case RotaryScaling::llama3:
      return fmt::format("llama3(factor={} low={} high={} original={})", factor, low, high, original);
    case RotaryScaling::yarn:
      return fmt::format("yarn(factor={} original={} slow={} fast={} attention={} ramp={})", factor, original, slow,
                         fast, attention, truncate ? "whole" : "exact");
  }
  return "";
}

std::vector<double> rotary_rates(const RotaryConfig& config, std::int64_t head_width) {
  const std::int64_t features = config.width > 0 ? config.width : head_width;
  require_sense(config, features, head_width);
  const auto width = static_cast<double>(features);
  std::vector<double> rates;
  for (double i = 0; 2 * i < width; ++i) {
    const double rate = std::pow(config.base, -2 * i / width), own = kept(config, rate, i, width);
    rates.push_back(rate * own + rate / config.factor * (1 - own));
  }
  return rates;
}

}  // namespace retort
