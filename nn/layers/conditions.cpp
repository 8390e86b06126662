#include "nn/layers/conditions.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

Tensor sinusoids(const Tensor& t, std::int64_t width, const SinusoidOptions& options) {
  if (!t.defined() || t.rank() != 1)
    throw ShapeError("sinusoids: times must be [n]; got {}", t.defined() ? t.str() : "none");
  if (size_of(t.dtype()) == 2) throw DTypeError("sinusoids: 16-bit floats do not tell times apart; got {}", t.str());
  const std::int64_t half = width / 2, steps = half - (options.endpoint ? 1 : 0);
  if (width % 2 != 0 || steps < 1) throw ShapeError("sinusoids: the width must be even and larger; got {}", width);
  const DType wide = t.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const double step = -std::log(10000.0) / static_cast<double>(steps);
  const Tensor angles = reshape(cast(t, wide), {t.size(0), 1}) * exp(arange(half, wide, t.device(), 0, step));
  const Tensor parts[] = {options.sine_first ? sin(angles) : cos(angles),
                          options.sine_first ? cos(angles) : sin(angles)};
  return concat(parts, 1);
}

TimeEmbed::TimeEmbed(std::int64_t width, bool zero_start) : up(kFeatures, width), down(width, width) {
  up.weight.init = Init::normal(0.02);
  down.weight.init = zero_start ? Init::constant(0) : Init::normal(0.02);
}

Tensor TimeEmbed::operator()(const Tensor& t, DType dtype, Ctx& ctx) const {
  // Times may lie on the host, where f64 is.
  return down(silu(up(constant_on(cast(sinusoids(t, kFeatures), dtype), up.weight.value.device()), ctx)), ctx);
}

void TimeEmbed::visit(Visitor& v) {
  v("up", up);
  v("down", down);
}

ClassLabels::ClassLabels(std::int64_t class_count, double drop_probability)
    : classes(class_count), drop(drop_probability) {
  if (!(drop >= 0 && drop < 1)) throw ValueError("label_drop: a probability lies in [0, 1); got {}", drop);
}

Tensor ClassLabels::operator()(const Tensor& label, std::int64_t n, Device device, Ctx& ctx) const {
  const Tensor none = Tensor::full({n}, static_cast<double>(classes), DType::i64, device);
  if (!label.defined()) return none;
  if (classes == 0) throw ConfigError("label: the net knows no classes; got {}", label.str());
  if (label.dtype() != DType::i64 || !(label.shape() == Shape{n}))
    throw ShapeError("label: must be i64 [{}]; got {}", n, label.str());
  if (!ctx.training || drop == 0) return label;
  const RngKey key = ctx.rng.stream("label_drop/" + path(), ctx.step);
  const Tensor kept = dropout(Tensor::full({n}, 1, DType::f32, device), drop, key, ctx.samples);
  return where(greater(kept, Tensor::scalar(0, DType::f32, device)), label, none);
}

}  // namespace retort
