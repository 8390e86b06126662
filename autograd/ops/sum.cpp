// autograd/ops/sum.cpp -- sum over axes, any dtype, or a float sum over a constant (the mean); var and sum_to use it.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Sum : Linear<Sum> {
  static constexpr std::string_view name = "sum";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static void infer(InferCall& call) {
    const DType dtype = call.in[0].dtype();
    infer::reduction(call, is_float(dtype) ? dtype : DType::i64);
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const Shape& shape = c.in[0].shape();
    const auto& a = c.attrs.as<ReduceAttrs>();
    return broadcast_to(reshape(divided(cot, a.divisor), reduced_shape(shape, a.axes, true)), shape);
  }
  /// Through f32, as f16 ends at 65504 and a count may not.
  static Tensor divided(const Tensor& cot, double divisor) {
    if (divisor == 1) return cot;
    if (size_of(cot.dtype()) > 2) return cot / divisor;
    return cast(cast(cot, DType::f32) / divisor, cot.dtype());
  }
};
REGISTER_OP(Sum);
}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keepdim) {
  return apply_with<Sum>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "sum"), keepdim}), x);
}

Tensor mean(const Tensor& x, const Axes& axes, bool keepdim) {
  if (!is_float(x.dtype())) throw DTypeError("mean: the input must be a float tensor; got {}; hint: cast it", x.str());
  const std::uint32_t mask = axis_mask(x.rank(), axes, "mean");
  const auto n = static_cast<double>(reduced_count(x.shape(), mask));
  return apply_with<Sum>(AttrBox::of(ReduceAttrs{mask, keepdim, n}), x);
}

Tensor var(const Tensor& x, const Axes& axes, int correction, bool keepdim) {
  // Squared deviations need more digits than a 16-bit float has.
  if (is_float(x.dtype()) && size_of(x.dtype()) == 2)
    return cast(var(cast(x, DType::f32), axes, correction, keepdim), x.dtype());
  const std::uint32_t mask = axis_mask(x.rank(), axes, "var");
  const auto n = static_cast<double>(reduced_count(x.shape(), mask) - correction);
  return apply_with<Sum>(AttrBox::of(ReduceAttrs{mask, keepdim, n}), square(x - mean(x, axes, true)));
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  std::uint32_t mask = 0;
  const int shift = x.rank() - shape.rank();
  for (int a = 0; a < x.rank(); ++a)
    if (a < shift || (shape[a - shift] == 1 && x.shape()[a] != 1)) mask |= 1u << a;
  const Tensor s = apply_with<Sum>(AttrBox::of(ReduceAttrs{mask, true}), x);
  return reshape(s, shape);
}

}  // namespace retort
