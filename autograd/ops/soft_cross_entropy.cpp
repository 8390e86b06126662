// autograd/ops/soft_cross_entropy.cpp -- -sum_c q_c log softmax(x)_c per row. d/dx = p sum q - q, d/dq = -log p.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss_checks.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
/// log softmax(x), 0 where target and probability are both 0.
Tensor log_where_wanted(const Tensor& x, const Tensor& q) {
  const Tensor log_p = log_softmax(loss::widened(x));
  const Tensor zero = scalar_like(log_p, 0);
  return where(equal(loss::widened(q), zero), where(isfinite(log_p), log_p, zero), log_p);
}

struct SoftCrossEntropy : Fused<SoftCrossEntropy> {
  static constexpr std::string_view name = "soft_cross_entropy";
  static void infer(InferCall& call) {
    loss::require_pair(call);
    call.output(loss::unit_shape(call.in[0]), loss::compute_dtype(call.in[0].dtype()));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox&) {
    return {-sum(loss::widened(in[1]) * log_where_wanted(in[0], in[1]), {-1})};
  }
  static void backward(VjpCall& c);
};

/// With respect to the logits.
struct SoftCrossEntropyBackward : FusedBackward<SoftCrossEntropyBackward, SoftCrossEntropy> {
  static constexpr std::string_view name = "soft_cross_entropy_backward";
  static constexpr int extra = 0;
  static std::uint32_t inputs() { return 1; }
  static void infer(InferCall& call) { call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0])); }
};

void SoftCrossEntropy::backward(VjpCall& c) {
  if (c.wants[0]) c.grad[0] = apply_with<SoftCrossEntropyBackward>(c.attrs, c.in[0], c.in[1], c.cot[0]);
  if (c.wants[1]) {
    Shape column = c.cot[0].shape();
    column.push_back(1);
    const Tensor g = -(reshape(c.cot[0], column) * log_where_wanted(c.in[0], c.in[1]));
    c.grad[1] = cast(g, c.in[1].dtype());
  }
}

REGISTER_OP(SoftCrossEntropy);
REGISTER_OP(SoftCrossEntropyBackward);
}  // namespace

Tensor soft_cross_entropy(const Tensor& logits, const Tensor& target) {
  return apply<SoftCrossEntropy>(logits, target);
}

}  // namespace retort
