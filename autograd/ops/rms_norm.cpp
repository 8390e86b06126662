// autograd/ops/rms_norm.cpp -- rms_norm(x) = x / sqrt(mean(x^2) + eps) * weight over the last axis.
#include "autograd/ops/nn.h"
#include "autograd/ops/norm.h"

namespace retort {

namespace {
struct RmsNorm : Fused<RmsNorm> {
  static constexpr std::string_view name = "rms_norm";
  static constexpr int aux = 1;  // 1 / root mean square of every row
  static void infer(InferCall& call) {
    norm::require_rows(call);
    const Tensor& x = call.in[0];
    norm::require_parameter(call, 1, x.size(-1));
    call.output(x.shape(), x.dtype(), infer::like(x));
    Shape rows = x.shape();
    rows.erase(rows.rank() - 1);
    call.output(rows, norm::compute_dtype(x.dtype()));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const Tensor x = norm::widened(in[0]);
    const Tensor y = x * rsqrt(mean(x * x, {-1}, true) + attrs.as<NormAttrs>().eps);
    return {cast(norm::scaled_and_shifted(y, in[1], {}, {x.size(-1)}), in[0].dtype())};
  }
  static void backward(VjpCall& c);
};

struct RmsNormBackward : FusedBackward<RmsNormBackward, RmsNorm> {
  static constexpr std::string_view name = "rms_norm_backward";
  static constexpr int outputs = 2, extra = 1;
  static std::uint32_t inputs() { return 3; }
  static void infer(InferCall& call) {
    const Tensor& x = call.in[0];
    call.output(x.shape(), x.dtype(), infer::like(x));
    norm::parameter_gradient(call, 1);
    const RowNormPlan plan(call.in[2].numel(), x.size(-1));
    call.scratch(plan.partial_elements() * size_of(norm::compute_dtype(x.dtype())));
  }
};

void RmsNorm::backward(VjpCall& c) { norm::run_backward<RmsNormBackward>(c, c.out.last(1), c.cot.first(1)); }

REGISTER_OP(RmsNorm);
REGISTER_OP(RmsNormBackward);
}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  return apply_with<RmsNorm>(AttrBox::of(NormAttrs{eps, 1}), x, weight);
}

}  // namespace retort
