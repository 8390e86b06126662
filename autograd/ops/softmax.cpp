// autograd/ops/softmax.cpp -- softmax(x)_i = e^{x_i} / sum_j e^{x_j} along an axis. dy = y (dx - <y, dx>).
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"

namespace retort {

namespace {
/// y (v - <y, v>), the product of softmax's Jacobian at output y with v. The Jacobian diag(y) - y y' is symmetric: the
/// same map serves both directions.
struct SoftmaxBackward : General<SoftmaxBackward> {
  static constexpr std::string_view name = "softmax_backward";
  static Saves saves(std::uint32_t, const AttrBox&) { return {3, 0, 0}; }
  static void infer(InferCall& call) { call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0])); }
  static Tensor inner(const Tensor& a, const Tensor& b, const AttrBox& attrs) {
    return sum(a * b, {attrs.as<int>()}, true);
  }
  static void vjp(VjpCall& c) {
    const Tensor &y = c.in[0], &v = c.in[1], &u = c.cot[0];
    if (c.wants[0]) c.grad[0] = u * (v - inner(y, v, c.attrs)) - v * inner(u, y, c.attrs);
    if (c.wants[1]) c.grad[1] = apply_with<SoftmaxBackward>(c.attrs, y, u);
  }
  static void jvp(JvpCall& c) {
    const Tensor &y = c.in[0], &v = c.in[1], &dy = c.tangent[0], &dv = c.tangent[1];
    Tensor t;
    if (dv.defined()) t = apply_with<SoftmaxBackward>(c.attrs, y, dv);
    if (dy.defined()) {
      const Tensor turned = dy * (v - inner(y, v, c.attrs)) - y * inner(dy, v, c.attrs);
      t = t.defined() ? t + turned : turned;
    }
    c.out_tangent[0] = t;
  }
};
REGISTER_OP(SoftmaxBackward);

struct Softmax : General<Softmax> {
  static constexpr std::string_view name = "softmax";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0]));
  }
  static void vjp(VjpCall& c) {
    if (c.wants[0]) c.grad[0] = apply_with<SoftmaxBackward>(c.attrs, c.out[0], c.cot[0]);
  }
  static void jvp(JvpCall& c) {
    if (c.tangent[0].defined()) c.out_tangent[0] = apply_with<SoftmaxBackward>(c.attrs, c.out[0], c.tangent[0]);
  }
};
REGISTER_OP(Softmax);
}  // namespace

Tensor softmax(const Tensor& x, int axis) {
  return apply_with<Softmax>(AttrBox::of(normalize_axis(axis, x.rank(), "softmax")), x);
}

}  // namespace retort
