// autograd/ops/conv_block.cpp -- conv_block(x, w) = clamp((conv(x, w) + bias) scale + shift + residual, low, high).
#include "autograd/ops/conv_checks.h"
#include "autograd/ops/norm.h"

namespace retort {

namespace {
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct ConvBlockOp : Fused<ConvBlockOp> {
  static constexpr std::string_view name = "conv_block";
  static void infer(InferCall& call) {
    infer_conv(call, call.attrs.as<ConvBlockAttrs>().conv);
    const auto& y = call.outputs[0];
    for (std::size_t i = 3; i <= 4; ++i) norm::require_parameter(call, i, y.shape[1]);
    const Tensor& residual = call.in[5];
    if (residual.defined() && (!(residual.shape() == y.shape) || residual.dtype() != y.dtype))
      throw ShapeError("conv_block: the residual must be like the result; got {} for {}{}", residual.str(),
                       name_of(y.dtype), y.shape.str());
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const auto& a = attrs.as<ConvBlockAttrs>();
    Tensor y = conv_with(in[0], in[1], in[2], a.conv);
    if (in[3].defined() || in[4].defined())
      y = cast(norm::scaled_and_shifted(norm::widened(y), in[3], in[4], norm::per_channel(y)), y.dtype());
    if (in[5].defined()) y = y + in[5];
    if (a.range.low == 0 && a.range.high == kInfinity) return {relu(y)};
    if (a.range.low == -kInfinity && a.range.high == kInfinity) return {y};
    return {clamp(y, a.range.low, a.range.high)};
  }
  /// The reverse rule is that of the decomposition, which needs the inputs only.
  static Saves saves(std::uint32_t, const AttrBox&) { return {~0u, 0, 0}; }
};
REGISTER_OP(ConvBlockOp);
}  // namespace

Tensor conv_block(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& options,
                  const ConvEpilogue& then) {
  if (!(then.low <= then.high)) throw ValueError("conv_block: needs low <= high; got {} and {}", then.low, then.high);
  return apply_with<ConvBlockOp>(AttrBox::of(ConvBlockAttrs{conv_attrs(2, options), {then.low, then.high}}),
                                 channels_last(x), channels_last(w), bias, then.scale, then.shift,
                                 then.residual.defined() ? channels_last(then.residual) : Tensor());
}

}  // namespace retort
