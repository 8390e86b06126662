// autograd/ops/log_softmax.cpp -- log_softmax(x)_i = x_i - log sum_j e^{x_j} along an axis. dy = dx - <e^y, dx>.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct LogSoftmax : General<LogSoftmax> {
  static constexpr std::string_view name = "log_softmax";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0]));
  }
  static void vjp(VjpCall& c) {
    if (c.wants[0]) c.grad[0] = c.cot[0] - exp(c.out[0]) * sum(c.cot[0], {c.attrs.as<int>()}, true);
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
