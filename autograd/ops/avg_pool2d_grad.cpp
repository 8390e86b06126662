// autograd/ops/avg_pool2d_grad.cpp -- the adjoint of avg_pool2d: each cotangent shared out over its window.
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct AvgPool2dGrad : Linear<AvgPool2dGrad> {
  static constexpr std::string_view name = "avg_pool2d_grad";
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::require_rank(call, 0, 4);
    const auto& a = call.attrs.as<Pool2dAttrs>();
    const Shape out{call.in[0].shape()[0], call.in[0].shape()[1], a.size_h, a.size_w};
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
  }
  static Tensor transpose(std::size_t, const Tensor& g, const VjpCall& c) {
    return avg_pool2d_with(g, c.attrs.as<Pool2dAttrs>());
  }
};
REGISTER_OP(AvgPool2dGrad);
}  // namespace

Tensor avg_pool2d_grad(const Tensor& cot, const Pool2dAttrs& attrs) {
  return apply_with<AvgPool2dGrad>(AttrBox::of(attrs), channels_last(cot));
}

}  // namespace retort
