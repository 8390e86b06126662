// autograd/ops/sum.cpp -- sum over axes, float dtypes; mean and sum_to are made from it.
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
std::uint32_t axis_mask(const Tensor& x, Axes axes, std::string_view op) {
  if (axes.size() == 0) return (1u << x.rank()) - 1u;
  std::uint32_t mask = 0;
  for (int a : axes) mask |= 1u << normalize_axis(a, x.rank(), op);
  return mask;
}

Shape with_ones(const Shape& shape, std::uint32_t axes) {
  Shape s = shape;
  for (int a = 0; a < s.rank(); ++a)
    if (axes >> a & 1u) s[a] = 1;
  return s;
}

struct Sum : Linear<Sum> {
  static constexpr std::string_view name = "sum";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    const auto& a = call.attrs.as<ReduceAttrs>();
    Shape out;
    for (int i = 0; i < call.in[0].rank(); ++i) {
      if (!(a.axes >> i & 1u))
        out.push_back(call.in[0].shape()[i]);
      else if (a.keepdim)
        out.push_back(1);
    }
    call.output(out, call.in[0].dtype());
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const Shape& shape = c.in[0].shape();
    return broadcast_to(reshape(cot, with_ones(shape, c.attrs.as<ReduceAttrs>().axes)), shape);
  }
};
REGISTER_OP(Sum);
}  // namespace

Tensor sum(const Tensor& x, Axes axes, bool keepdim) {
  return apply_with<Sum>(AttrBox::of(ReduceAttrs{axis_mask(x, axes, "sum"), keepdim}), x);
}

Tensor mean(const Tensor& x, Axes axes, bool keepdim) {
  const Tensor total = sum(x, axes, keepdim);
  const double n = static_cast<double>(x.numel()) / static_cast<double>(std::max<std::int64_t>(total.numel(), 1));
  return total / n;
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
