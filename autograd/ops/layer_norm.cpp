// autograd/ops/layer_norm.cpp -- layer_norm(x) = (x - mean) / sqrt(var + eps) * weight + bias over the last axis.
#include "autograd/ops/nn.h"
#include "autograd/ops/norm.h"

namespace retort {

namespace {
Shape without_last(const Shape& shape) {
  Shape s = shape;
  s.erase(s.rank() - 1);
  return s;
}

struct LayerNorm : Fused<LayerNorm> {
  static constexpr std::string_view name = "layer_norm";
  static constexpr int aux = 2;  // mean and 1 / standard deviation of every row
  static void infer(InferCall& call) {
    norm::require_rows(call);
    const Tensor& x = call.in[0];
    for (std::size_t i = 1; i <= 2; ++i) norm::require_parameter(call, i, x.size(-1));
    call.output(x.shape(), x.dtype(), infer::like(x));
    for (int i = 0; i < aux; ++i) call.output(without_last(x.shape()), norm::compute_dtype(x.dtype()));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const Tensor x = norm::widened(in[0]);
    const Tensor centred = x - mean(x, {-1}, true);
    const Tensor y = centred * rsqrt(mean(centred * centred, {-1}, true) + attrs.as<NormAttrs>().eps);
    return {cast(norm::scaled_and_shifted(y, in[1], in[2], {x.size(-1)}), in[0].dtype())};
  }
  static void backward(VjpCall& c);
};

struct LayerNormBackward : FusedBackward<LayerNormBackward, LayerNorm> {
  static constexpr std::string_view name = "layer_norm_backward";
  static constexpr int outputs = 3, extra = 2;
  static std::uint32_t inputs() { return 7; }
  static void infer(InferCall& call) {
    const Tensor& x = call.in[0];
    call.output(x.shape(), x.dtype(), infer::like(x));
    norm::parameter_gradient(call, 1);
    norm::parameter_gradient(call, 2);
    const RowNormPlan plan(call.in[3].numel(), x.size(-1));
    call.scratch(plan.partial_elements() * size_of(norm::compute_dtype(x.dtype())));
  }
};

void LayerNorm::backward(VjpCall& c) { norm::run_backward<LayerNormBackward>(c, c.out.last(2), c.cot.first(1)); }

REGISTER_OP(LayerNorm);
REGISTER_OP(LayerNormBackward);
}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  return apply_with<LayerNorm>(AttrBox::of(NormAttrs{eps, 1}), x, weight, bias);
}

}  // namespace retort
