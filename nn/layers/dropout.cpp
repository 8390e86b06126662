#include "nn/layers/dropout.h"

#include "autograd/ops/arithmetic.h"
#include "tensor/write.h"

namespace retort {

namespace {
/// 1 / (1 - p) where an element is kept, else 0, shaped as x.
Tensor keyed_mask(const Tensor& x, double p, const RngKey& key, const Tensor& samples) {
  const std::int64_t n = x.size(0), row = n > 0 ? x.numel() / n : 0;
  if (samples.defined() && !(samples.shape() == Shape{n}))
    throw ShapeError("dropout: samples must be [{}]; got {}", n, samples.str());
  const Tensor mask = Tensor::empty(x.shape(), x.dtype(), x.device());
  if (x.meta()) return mask;
  const std::vector<std::int64_t> index =
      samples.defined() ? samples.values<std::int64_t>() : std::vector<std::int64_t>();
  const Tensor drops = Tensor::empty(x.shape(), DType::u8);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto sample = static_cast<std::uint64_t>(index.empty() ? i : index[static_cast<std::size_t>(i)]);
    std::uint8_t* const first = drops.mutable_data<std::uint8_t>() + i * row;
    fill_bernoulli(std::span(first, static_cast<std::size_t>(row)), p, key, sample);
    for (std::int64_t k = 0; k < row; ++k) first[k] ^= 1;
  }
  assign_(mask, drops, "dropout");
  scale_(mask, 1 / (1 - p));
  return mask;
}
}  // namespace

Dropout::Dropout(double probability) : p(probability) {
  if (!(p >= 0 && p < 1)) throw ValueError("dropout: a probability lies in [0, 1); got {}", p);
}

Tensor Dropout::operator()(const Tensor& x, Ctx& ctx) const {
  if (!ctx.training || p == 0) return x;
  return x * keyed_mask(x, p, ctx.rng.stream("dropout/" + path(), ctx.step), ctx.samples);
}

}  // namespace retort
