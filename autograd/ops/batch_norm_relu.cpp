// autograd/ops/batch_norm_relu.cpp -- batch_norm_relu: relu(batch_norm(x) + residual), what is between never stored.
#include "autograd/ops/nn.h"
#include "autograd/ops/norm.h"

namespace retort {

namespace {
struct BatchNormRelu : Fused<BatchNormRelu> {
  static constexpr std::string_view name = "batch_norm_relu";
  static constexpr int outputs = 3;  // y, mean, biased variance
  static void infer(InferCall& call) {
    norm::infer_batch_norm(call);
    const Tensor &x = call.in[0], &residual = call.in[3];
    if (residual.defined() && (!(residual.shape() == x.shape()) || residual.dtype() != x.dtype()))
      throw ShapeError("batch_norm_relu: the residual must be like x; got {} and {}", residual.str(), x.str());
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const BatchNorm norm = batch_norm(in[0], in[1], in[2], attrs.as<NormAttrs>().eps);
    return {relu(in[3].defined() ? norm.out + in[3] : norm.out), norm.mean, norm.var};
  }
  /// The backward kernel works relu's slope out from x, the statistics and the residual: y is not needed.
  static Saves saves(std::uint32_t, const AttrBox&) { return {~0u, 6, 0}; }
  static void backward(VjpCall& c);
};

struct BatchNormReluBackward : FusedBackward<BatchNormReluBackward, BatchNormRelu> {
  static constexpr std::string_view name = "batch_norm_relu_backward";
  static constexpr int outputs = 4, extra = 2, outputs_of_forward = 3;
  static std::uint32_t inputs() { return 15; }
  static void infer(InferCall& call) {
    norm::infer_batch_norm_backward(call);
    const Tensor &x = call.in[0], &residual = call.in[3];
    if (residual.defined())
      call.output(x.shape(), x.dtype(), channels_last_strides(x.shape()));
    else
      call.output({0}, x.dtype());
  }
};

void BatchNormRelu::backward(VjpCall& c) { norm::run_backward<BatchNormReluBackward>(c, c.out.last(2), c.cot); }

REGISTER_OP(BatchNormRelu);
REGISTER_OP(BatchNormReluBackward);
}  // namespace

BatchNorm batch_norm_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                          double eps) {
  const Tensor in[] = {x, weight, bias, residual};
  Tensor out[3];
  apply(op_of<BatchNormRelu>(), in, AttrBox::of(NormAttrs{eps, 1}), out);
  return {out[0], out[1], out[2]};
}

}  // namespace retort
