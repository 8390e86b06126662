// autograd/ops/conv2d_weight_grad.cpp -- the adjoint of conv2d in its weight, bilinear in (image, cotangent).
#include "autograd/ops/conv.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Conv2dWeightGrad : Bilinear<Conv2dWeightGrad> {
  static constexpr std::string_view name = "conv2d_weight_grad";
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, 2);
    infer::require_rank(call, 0, 4);
    infer::require_rank(call, 1, 4);
    const auto& a = call.attrs.as<Conv2dAttrs>();
    const Shape out{call.in[1].shape()[1], call.in[0].shape()[1] / a.groups, a.size_h, a.size_w};
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
  }
  static Tensor transpose0(const Tensor& g, const Tensor& cot, const VjpCall& c) {
    Conv2dAttrs a = c.attrs.as<Conv2dAttrs>();
    a.size_h = c.in[0].shape()[2];
    a.size_w = c.in[0].shape()[3];
    return conv2d_input_grad(cot, g, a);
  }
  static Tensor transpose1(const Tensor& g, const Tensor& x, const VjpCall& c) {
    return conv2d_with(x, g, c.attrs.as<Conv2dAttrs>());
  }
};
REGISTER_OP(Conv2dWeightGrad);
}  // namespace

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& cot, const Conv2dAttrs& attrs) {
  return apply_with<Conv2dWeightGrad>(AttrBox::of(attrs), channels_last(x), channels_last(cot));
}

}  // namespace retort
