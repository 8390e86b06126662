#include "nn/init.h"

#include <algorithm>
#include <array>

#include "nn/module.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace {
constexpr std::size_t kChunk = 4096;
constexpr double kCut = 2;  // of truncated normals, in standard deviations

/// Draws of law `init`, before scaling, for elements [first, first + out.size()).
void draw(const Init& init, std::span<double> out, RngKey key, std::uint64_t first) {
  if (init.law == Init::Law::uniform) {
    fill_uniform(out, key, 0, first);
    for (double& v : out) v = 2 * v - 1;
    return;
  }
  fill_normal(out, key, 0, first);
  if (init.law == Init::Law::normal) return;
  const auto rejected = [](double v) { return std::abs(v) > kCut; };
  std::array<double, kChunk> again;
  while (std::any_of(out.begin(), out.end(), rejected)) {
    ++key.attempt;
    fill_normal(std::span(again).first(out.size()), key, 0, first);
    for (std::size_t i = 0; i < out.size(); ++i)
      if (rejected(out[i])) out[i] = again[i];
  }
}

void initialize_parameter(const std::string& name, Parameter& p, const Rng& rng) {
  if (p.value.meta()) return;
  if (p.init.law == Init::Law::constant) {
    fill_(p.value, p.init.scale);
  } else {
    const RngKey key = rng.stream("init/" + name);
    const Tensor values = Tensor::empty(p.value.shape(), DType::f64);
    const std::span<double> all(values.mutable_data<double>(), static_cast<std::size_t>(values.numel()));
    for (std::size_t at = 0; at < all.size(); at += kChunk) {
      const std::span<double> chunk = all.subspan(at, std::min(kChunk, all.size() - at));
      draw(p.init, chunk, key, at);
      for (double& v : chunk) v *= p.init.scale;
    }
    assign_(p.value, to(values, p.value.device()), "initialize");
  }
  if (p.shadow.defined()) assign_(p.shadow, p.value, "initialize");
}
}  // namespace

Fans fans_of(const Shape& weight) {
  if (weight.rank() < 2) throw ShapeError("fans_of: a weight has at least 2 axes; got {}", weight.str());
  double kernel = 1;
  for (int a = 2; a < weight.rank(); ++a) kernel *= static_cast<double>(weight[a]);
  return {static_cast<double>(weight[1]) * kernel, static_cast<double>(weight[0]) * kernel};
}

void initialize(Module& m, const Rng& rng) {
  for (const auto& [name, parameter] : parameters_of(m)) initialize_parameter(name, *parameter, rng);
}

}  // namespace retort
