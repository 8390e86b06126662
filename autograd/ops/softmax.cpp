// autograd/ops/softmax.cpp -- softmax(x)_i = e^{x_i} / sum_j e^{x_j} along an axis. dy = y (dx - <y, dx>).
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Softmax : General<Softmax> {
  static constexpr std::string_view name = "softmax";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0]));
  }
  /// The Jacobian diag(y) - y y' is symmetric: the same map serves both directions.
  static Tensor times_jacobian(const Tensor& y, const Tensor& v, const AttrBox& attrs) {
    return y * (v - sum(y * v, {attrs.as<int>()}, true));
  }
  static void vjp(VjpCall& c) {
    if (c.wants[0]) c.grad[0] = times_jacobian(c.out[0], c.cot[0], c.attrs);
  }
  static void jvp(JvpCall& c) {
    if (c.tangent[0].defined()) c.out_tangent[0] = times_jacobian(c.out[0], c.tangent[0], c.attrs);
  }
};
REGISTER_OP(Softmax);
}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  return apply_with<Softmax>(AttrBox::of(normalize_axis(axis, x.rank(), "softmax")), x);
}

}  // namespace retort
