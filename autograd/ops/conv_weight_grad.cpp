// autograd/ops/conv_weight_grad.cpp -- the adjoint of conv in its weight, bilinear in (image, cotangent).
#include "autograd/ops/conv.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct ConvWeightGrad : Bilinear<ConvWeightGrad> {
  static constexpr std::string_view name = "conv_weight_grad";
  static void infer(InferCall& call) {
    const auto& a = call.attrs.as<ConvAttrs>();
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, 2);
    for (std::size_t i = 0; i < 2; ++i) infer::require_rank(call, i, a.size.rank() + 2);
    Shape out{call.in[1].shape()[1], call.in[0].shape()[1] / a.groups};
    for (const std::int64_t extent : a.size) out.push_back(extent);
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
  }
  static Tensor transpose0(const Tensor& g, const Tensor& cot, const VjpCall& c) {
    ConvAttrs a = c.attrs.as<ConvAttrs>();
    for (int i = 0; i < a.size.rank(); ++i) a.size[i] = c.in[0].shape()[i + 2];
    return conv_input_grad(cot, g, a);
  }
  static Tensor transpose1(const Tensor& g, const Tensor& x, const VjpCall& c) {
    return conv_with(x, g, {}, c.attrs.as<ConvAttrs>());
  }
};
REGISTER_OP(ConvWeightGrad);
}  // namespace

Tensor conv_weight_grad(const Tensor& x, const Tensor& cot, const ConvAttrs& attrs) {
  return apply_with<ConvWeightGrad>(AttrBox::of(attrs), channels_last(x), channels_last(cot));
}

}  // namespace retort
