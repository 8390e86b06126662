// autograd/ops/cross_entropy.cpp -- -log softmax(x)[label] per row, with label smoothing. d/dx = p - target.
#include "autograd/ops/create.h"
#include "autograd/ops/loss_checks.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct CrossEntropy : Fused<CrossEntropy> {
  static constexpr std::string_view name = "cross_entropy";
  static constexpr int aux = 2;  // the largest logit of a row, and log sum exp(x - largest)
  static void infer(InferCall& call) {
    loss::require_logits(call, 0);
    const Shape units = loss::unit_shape(call.in[0]);
    if (call.in[1].dtype() != DType::i64)
      throw DTypeError("cross_entropy: labels must be i64; got {}", call.in[1].str());
    if (!(call.in[1].shape() == units))
      throw ShapeError("cross_entropy: labels must be {} for logits {}; got {}", units.str(), call.in[0].str(),
                       call.in[1].str());
    for (int i = 0; i <= aux; ++i) call.output(units, loss::compute_dtype(call.in[0].dtype()));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const auto& a = attrs.as<CrossEntropyAttrs>();
    const Tensor &labels = in[1], x = loss::widened(in[0]), log_p = log_softmax(x);
    const Tensor ignored = equal(labels, scalar_like(labels, static_cast<double>(a.ignore_index)));
    const Tensor class_of = where(ignored, scalar_like(labels, 0), labels), zero = scalar_like(x, 0);
    const Tensor hit = one_hot(class_of, x.size(-1), x.dtype());
    Tensor value = -sum(loss::times_log(hit, log_p), {-1});
    if (a.label_smoothing > 0) {
      const Tensor present = not_equal(x, scalar_like(x, -INFINITY));
      const Tensor uniform = sum(where(present, log_p, zero), {-1}) / sum(cast(present, x.dtype()), {-1});
      value = value * (1 - a.label_smoothing) - uniform * a.label_smoothing;
    }
    return {where(ignored, zero, value)};
  }
  static void backward(VjpCall& c);
};

struct CrossEntropyBackward : FusedBackward<CrossEntropyBackward, CrossEntropy> {
  static constexpr std::string_view name = "cross_entropy_backward";
  static constexpr int extra = 2;
  static std::uint32_t inputs() { return 1; }
  static void infer(InferCall& call) { call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0])); }
};

void CrossEntropy::backward(VjpCall& c) {
  c.grad[0] = apply_with<CrossEntropyBackward>(c.attrs, c.in[0], c.in[1], c.out[1], c.out[2], c.cot[0]);
}

REGISTER_OP(CrossEntropy);
REGISTER_OP(CrossEntropyBackward);
}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing, std::int64_t ignore_index) {
  if (!(label_smoothing >= 0 && label_smoothing < 1))
    throw ValueError("cross_entropy: label_smoothing lies in [0, 1); got {}", label_smoothing);
  return apply_with<CrossEntropy>(AttrBox::of(CrossEntropyAttrs{label_smoothing, ignore_index}), logits, labels);
}

}  // namespace retort
