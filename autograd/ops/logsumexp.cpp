// autograd/ops/logsumexp.cpp -- logsumexp(x) = log sum e^x over axes. d/dx = e^(x - y), the softmax.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Logsumexp : General<Logsumexp> {
  static constexpr std::string_view name = "logsumexp";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::reduction(call, call.in[0].dtype());
  }
  /// A row of -inf alone has y = -inf and no gradient: there x - y would be NaN.
  static Tensor softmax_of(const Tensor& x, const Tensor& y, std::uint32_t axes) {
    const Tensor row = reshape(y, reduced_shape(x.shape(), axes, true));
    return exp(sub(x, where(isfinite(row), row, scalar_like(row, 0.0))));
  }
  static void vjp(VjpCall& c) {
    const auto& a = c.attrs.as<ReduceAttrs>();
    const Tensor cot = reshape(c.cot[0], reduced_shape(c.in[0].shape(), a.axes, true));
    c.grad[0] = mul(softmax_of(c.in[0], c.out[0], a.axes), cot);
  }
  static void jvp(JvpCall& c) {
    const auto& a = c.attrs.as<ReduceAttrs>();
    c.out_tangent[0] = sum(mul(c.tangent[0], softmax_of(c.in[0], c.out[0], a.axes)), Axes::of_mask(a.axes), a.keepdim);
  }
};
REGISTER_OP(Logsumexp);
}  // namespace

Tensor logsumexp(const Tensor& x, const Axes& axes, bool keepdim) {
  return apply_with<Logsumexp>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "logsumexp"), keepdim}), x);
}

}  // namespace retort
