// autograd/ops/resize2d_grad.cpp -- the adjoint of resize2d, linear in the cotangent.
#include "autograd/ops/image.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Resize2dGrad : Linear<Resize2dGrad> {
  static constexpr std::string_view name = "resize2d_grad";
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::require_rank(call, 0, 4);
    const auto& a = call.attrs.as<Resize2dAttrs>();
    const Shape out{call.in[0].size(0), call.in[0].size(1), a.in_h, a.in_w};
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
  }
  static Tensor transpose(std::size_t, const Tensor& g, const VjpCall& c) {
    return resize2d_with(g, c.attrs.as<Resize2dAttrs>());
  }
};
REGISTER_OP(Resize2dGrad);
}  // namespace

Tensor resize2d_grad(const Tensor& cot, const Resize2dAttrs& attrs) {
  return apply_with<Resize2dGrad>(AttrBox::of(attrs), channels_last(cot));
}

}  // namespace retort
