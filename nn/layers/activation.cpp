#include "nn/layers/activation.h"

#include <limits>
#include <numbers>
#include <utility>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"

namespace retort {

namespace {
constexpr std::pair<std::string_view, Activation> kNames[] = {
    {"none", Activation::none},           {"relu", Activation::relu},
    {"relu6", Activation::relu6},         {"gelu", Activation::gelu},
    {"gelu_tanh", Activation::gelu_tanh}, {"quick_gelu", Activation::quick_gelu},
    {"silu", Activation::silu},           {"tanh", Activation::tanh}};
}

Activation activation_from_name(std::string_view name) {
  for (const auto& [known, activation] : kNames)
    if (known == name) return activation;
  throw ConfigError("activation: unknown name {}; hint: none, relu, relu6, gelu, gelu_tanh, quick_gelu, silu or tanh",
                    name);
}

std::string_view name_of(Activation activation) {
  for (const auto& [name, known] : kNames)
    if (known == activation) return name;
  throw InternalError("activation: number {} has no name", static_cast<int>(activation));
}

Tensor activate(Activation activation, const Tensor& x) {
  switch (activation) {
    case Activation::relu:
      return relu(x);
    case Activation::relu6:
      return clamp(x, 0, 6);
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    case Activation::quick_gelu:
      return x * sigmoid(x * 1.702);
    case Activation::silu:
      return silu(x);
    case Activation::tanh:
      return tanh(x);
    case Activation::none:
      break;
  }
  return x;
}

std::optional<Interval> interval_of(Activation activation) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (activation == Activation::none) return Interval{-infinity, infinity};
  if (activation == Activation::relu) return Interval{0, infinity};
  if (activation == Activation::relu6) return Interval{0, 6};
  return std::nullopt;
}

double gain_of(Activation activation) {
  return activation == Activation::none || activation == Activation::tanh ? 1.0 : std::numbers::sqrt2;
}

}  // namespace retort
