// autograd/ops/group_norm.cpp -- group_norm: x [N, C, *] normalised over each sample's groups of channels.
#include "autograd/ops/nn.h"
#include "autograd/ops/norm.h"

namespace retort {

namespace {
struct GroupNorm : Fused<GroupNorm> {
  static constexpr std::string_view name = "group_norm";
  static constexpr int aux = 2;  // mean and 1 / standard deviation of every (sample, group)
  static void infer(InferCall& call) {
    norm::require_channels(call);
    const Tensor& x = call.in[0];
    const std::int64_t groups = call.attrs.as<NormAttrs>().groups, channels = x.size(1);
    if (groups < 1 || channels % groups != 0)
      throw ShapeError("group_norm: {} channels do not split into {} groups; got {}", channels, groups, x.str());
    for (std::size_t i = 1; i <= 2; ++i) norm::require_parameter(call, i, channels);
    call.output(x.shape(), x.dtype(), channels_last_strides(x.shape()));
    for (int i = 0; i < aux; ++i) call.output({x.size(0), groups}, norm::compute_dtype(x.dtype()));
    call.scratch(ChannelNormPlan(x.shape(), true).scratch_doubles() * 8);
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const auto& a = attrs.as<NormAttrs>();
    const Tensor& x = in[0];
    const std::int64_t parts = x.size(0) * a.groups;
    const Tensor g = reshape(norm::widened(x), {x.size(0), a.groups, parts > 0 ? x.numel() / parts : 0});
    const Tensor centred = g - mean(g, {-1}, true);
    const Tensor y = reshape(centred * rsqrt(mean(centred * centred, {-1}, true) + a.eps), x.shape());
    return {cast(norm::scaled_and_shifted(y, in[1], in[2], norm::per_channel(x)), x.dtype())};
  }
  static void backward(VjpCall& c);
};

struct GroupNormBackward : FusedBackward<GroupNormBackward, GroupNorm> {
  static constexpr std::string_view name = "group_norm_backward";
  static constexpr int outputs = 3, extra = 2;
  static std::uint32_t inputs() { return 7; }
  static void infer(InferCall& call) {
    const Tensor& x = call.in[0];
    call.output(x.shape(), x.dtype(), channels_last_strides(x.shape()));
    norm::parameter_gradient(call, 1);
    norm::parameter_gradient(call, 2);
    call.scratch(ChannelNormPlan(x.shape(), true).scratch_doubles() * 8);
  }
};

void GroupNorm::backward(VjpCall& c) { norm::run_backward<GroupNormBackward>(c, c.out.last(2), c.cot.first(1)); }

REGISTER_OP(GroupNorm);
REGISTER_OP(GroupNormBackward);
}  // namespace

Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  return apply_with<GroupNorm>(AttrBox::of(NormAttrs{eps, groups}), x, weight, bias);
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  if (x.rank() < 3) throw ShapeError("instance_norm: x must be [N, C, *] with positions to average; got {}", x.str());
  return group_norm(x, x.size(1), weight, bias, eps);
}

}  // namespace retort
