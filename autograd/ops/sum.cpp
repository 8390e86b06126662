// autograd/ops/sum.cpp -- sum over axes, any dtype; mean, var and sum_to are made from it.
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
    const std::uint32_t axes = c.attrs.as<ReduceAttrs>().axes;
    return broadcast_to(reshape(cot, reduced_shape(shape, axes, true)), shape);
  }
};
REGISTER_OP(Sum);
}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keepdim) {
  return apply_with<Sum>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "sum"), keepdim}), x);
}

Tensor mean(const Tensor& x, const Axes& axes, bool keepdim) {
  const std::int64_t n = reduced_count(x.shape(), axis_mask(x.rank(), axes, "mean"));
  return sum(x, axes, keepdim) / static_cast<double>(n);
}

Tensor var(const Tensor& x, const Axes& axes, int correction, bool keepdim) {
  const std::int64_t n = reduced_count(x.shape(), axis_mask(x.rank(), axes, "var"));
  return sum(square(x - mean(x, axes, true)), axes, keepdim) / static_cast<double>(n - correction);
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
