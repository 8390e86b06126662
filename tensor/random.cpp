#include "tensor/random.h"

#include "tensor/attrs.h"
#include "tensor/primitive.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
const Primitive kNormal("random_normal"), kUniform("random_uniform"), kBernoulli("random_bernoulli");

Tensor draw(const Primitive& op, const Shape& shape, DType dtype, Device device, const RandomAttrs& attrs,
            const Tensor* samples) {
  if (samples) {
    if (samples->dtype() != DType::i64)
      throw DTypeError("{}: sample indices must be i64; got {}", op.name, samples->str());
    if (shape.rank() < 1 || samples->rank() != 1 || samples->size(0) != shape[0])
      throw ShapeError("{}: needs a sample index per row of {}; got {}", op.name, shape.str(), samples->str());
  }
  const Tensor out = Tensor::empty(shape, dtype, device);
  const Tensor indices = samples ? sample_indices_on(*samples, device) : Tensor();
  run_kernel(op, std::span(&indices, samples ? 1 : 0), AttrBox::of(attrs), std::span(&out, 1));
  return out;
}
void require_float(const Primitive& op, DType dtype) {
  if (!is_float(dtype)) throw DTypeError("{}: draws floats; got {}", op.name, name_of(dtype));
}
}  // namespace

Tensor sample_indices_on(const Tensor& samples, Device device) {
  const Tensor plain = samples.unlifted();
  if (!plain.defined() || plain.device() == device) return plain;
  if (!plain.meta())
    for (const std::int64_t s : to(plain, kCpu).values<std::int64_t>())
      if (s < 0 || static_cast<std::uint64_t>(s) >= kMaxRngSamples)
        throw ValueError("random: a sample index lies in [0, 2^32); got {}", s);
  return to(plain, device);
}

Tensor normal(const Shape& shape, const RngKey& key, DType dtype, Device device, const Tensor* samples) {
  require_float(kNormal, dtype);
  return draw(kNormal, shape, dtype, device, {key}, samples);
}

Tensor uniform(const Shape& shape, const RngKey& key, DType dtype, Device device, const Tensor* samples) {
  require_float(kUniform, dtype);
  return draw(kUniform, shape, dtype, device, {key}, samples);
}

Tensor bernoulli(const Shape& shape, double probability, const RngKey& key, Device device, const Tensor* samples) {
  if (!(probability >= 0 && probability <= 1))
    throw ValueError("random_bernoulli: a probability lies in [0, 1]; got {}", probability);
  return draw(kBernoulli, shape, DType::boolean, device, {key, probability}, samples);
}

}  // namespace retort
