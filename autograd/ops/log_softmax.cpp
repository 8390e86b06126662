// autograd/ops/log_softmax.cpp -- log_softmax(x)_i = x_i - log sum_j e^{x_j} along an axis. dy = dx - <e^y, dx>.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"

namespace retort {

namespace {
/// v - e^y sum(v), the transposed Jacobian of log_softmax at output y times v.
struct LogSoftmaxBackward : General<LogSoftmaxBackward> {
  static constexpr std::string_view name = "log_softmax_backward";
  static Saves saves(std::uint32_t, const AttrBox&) { return {3, 0, 0}; }
  static void infer(InferCall& call) { call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0])); }
  static Tensor total(const Tensor& t, const AttrBox& attrs) { return sum(t, {attrs.as<int>()}, true); }
  static void vjp(VjpCall& c) {
    const Tensor p = exp(c.in[0]), &v = c.in[1], &u = c.cot[0];
    if (c.wants[0]) c.grad[0] = neg(p * u * total(v, c.attrs));
    if (c.wants[1]) c.grad[1] = u - total(p * u, c.attrs);
  }
  static void jvp(JvpCall& c) {
    const Tensor p = exp(c.in[0]), &v = c.in[1], &dy = c.tangent[0], &dv = c.tangent[1];
    Tensor t;
    if (dv.defined()) t = dv - p * total(dv, c.attrs);
    if (dy.defined()) {
      const Tensor turned = neg(p * dy * total(v, c.attrs));
      t = t.defined() ? t + turned : turned;
    }
    c.out_tangent[0] = t;
  }
};
REGISTER_OP(LogSoftmaxBackward);

struct LogSoftmax : General<LogSoftmax> {
  static constexpr std::string_view name = "log_softmax";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0]));
  }
  static void vjp(VjpCall& c) {
    if (c.wants[0]) c.grad[0] = apply_with<LogSoftmaxBackward>(c.attrs, c.out[0], c.cot[0]);
  }
  static void jvp(JvpCall& c) {
    if (c.tangent[0].defined())
      c.out_tangent[0] = c.tangent[0] - sum(exp(c.out[0]) * c.tangent[0], {c.attrs.as<int>()}, true);
  }
};
REGISTER_OP(LogSoftmax);
}  // namespace

Tensor log_softmax(const Tensor& x, int axis) {
  return apply_with<LogSoftmax>(AttrBox::of(normalize_axis(axis, x.rank(), "log_softmax")), x);
}

}  // namespace retort
