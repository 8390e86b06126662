// autograd/ops/batch_norm.cpp -- batch_norm: x [N, C, *] normalised per channel, by the batch's statistics or given
// ones.
#include "autograd/ops/nn.h"
#include "autograd/ops/norm.h"

namespace retort {

namespace {
struct BatchNormTraining : Fused<BatchNormTraining> {
  static constexpr std::string_view name = "batch_norm";
  static constexpr int outputs = 3;  // y, mean, biased variance
  static void infer(InferCall& call) { norm::infer_batch_norm(call); }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const Tensor& x = in[0];
    std::int64_t positions = 1;
    for (int a = 2; a < x.rank(); ++a) positions *= x.size(a);
    const Tensor v = reshape(norm::widened(x), {x.size(0), x.size(1), positions});
    const Tensor m = mean(v, {0, 2}, true), centred = v - m, var = mean(centred * centred, {0, 2}, true);
    const Tensor y = reshape(centred * rsqrt(var + attrs.as<NormAttrs>().eps), x.shape());
    return {cast(norm::scaled_and_shifted(y, in[1], in[2], norm::per_channel(x)), x.dtype()), reshape(m, {x.size(1)}),
            reshape(var, {x.size(1)})};
  }
  /// The backward kernel needs the statistics, not y.
  static Saves saves(std::uint32_t, const AttrBox&) { return {~0u, 6, 0}; }
  static void backward(VjpCall& c);
};

struct BatchNormBackward : FusedBackward<BatchNormBackward, BatchNormTraining> {
  static constexpr std::string_view name = "batch_norm_backward";
  static constexpr int outputs = 3, extra = 2, outputs_of_forward = 3;
  static std::uint32_t inputs() { return 7; }
  static void infer(InferCall& call) { norm::infer_batch_norm_backward(call); }
};

void BatchNormTraining::backward(VjpCall& c) { norm::run_backward<BatchNormBackward>(c, c.out.last(2), c.cot); }

REGISTER_OP(BatchNormTraining);
REGISTER_OP(BatchNormBackward);
}  // namespace

BatchNorm batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const Tensor in[] = {x, weight, bias};
  Tensor out[3];
  apply(op_of<BatchNormTraining>(), in, AttrBox::of(NormAttrs{eps, 1}), out);
  return {out[0], out[1], out[2]};
}

ChannelMap batch_norm_map(const Tensor& mean, const Tensor& var, const Tensor& weight, const Tensor& bias, double eps) {
  Tensor scale = rsqrt(norm::widened(var) + eps);
  if (weight.defined()) scale = scale * norm::widened(weight);
  Tensor shift = -(norm::widened(mean) * scale);
  if (bias.defined()) shift = shift + norm::widened(bias);
  return {scale, shift};
}

Tensor batch_norm_with(const Tensor& x, const Tensor& mean, const Tensor& var, const Tensor& weight, const Tensor& bias,
                       double eps) {
  if (x.rank() < 2 || mean.shape() != Shape{x.size(1)} || var.shape() != mean.shape())
    throw ShapeError("batch_norm_with: x must be [N, C, *] and statistics [C]; got {}, {} and {}", x.str(), mean.str(),
                     var.str());
  const auto [scale, shift] = batch_norm_map(mean, var, weight, bias, eps);
  const Shape shape = norm::per_channel(x);
  return cast(norm::widened(x) * reshape(scale, shape) + reshape(shift, shape), x.dtype());
}

}  // namespace retort
