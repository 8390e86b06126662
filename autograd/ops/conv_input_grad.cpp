// autograd/ops/conv_input_grad.cpp -- the adjoint of conv in its image, bilinear in (cotangent, weight).
#include "autograd/ops/conv.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct ConvInputGrad : Bilinear<ConvInputGrad> {
  static constexpr std::string_view name = "conv_input_grad";
  static void infer(InferCall& call) {
    const auto& a = call.attrs.as<ConvAttrs>();
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, 2);
    for (std::size_t i = 0; i < 2; ++i) infer::require_rank(call, i, a.size.rank() + 2);
    Shape out{call.in[0].shape()[0], call.in[1].shape()[1] * a.groups};
    for (const std::int64_t extent : a.size) out.push_back(extent);
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
  }
  static Tensor transpose0(const Tensor& g, const Tensor& w, const VjpCall& c) {
    return conv_with(g, w, {}, c.attrs.as<ConvAttrs>());
  }
  static Tensor transpose1(const Tensor& g, const Tensor& cot, const VjpCall& c) {
    ConvAttrs a = c.attrs.as<ConvAttrs>();
    for (int i = 0; i < a.size.rank(); ++i) a.size[i] = c.in[1].shape()[i + 2];
    return conv_weight_grad(g, cot, a);
  }
};
REGISTER_OP(ConvInputGrad);
}  // namespace

Tensor conv_input_grad(const Tensor& cot, const Tensor& w, const ConvAttrs& attrs) {
  return apply_with<ConvInputGrad>(AttrBox::of(attrs), channels_last(cot), channels_last(w));
}

}  // namespace retort
