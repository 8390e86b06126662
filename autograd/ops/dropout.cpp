// autograd/ops/dropout.cpp -- dropout(x) = x mask / (1 - p), mask keyed by sample and element. The adjoint draws it
// again.
#include "autograd/ops/nn.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"
#include "tensor/random.h"

namespace retort {

namespace {
struct DropoutOp : Linear<DropoutOp> {
  static constexpr std::string_view name = "dropout";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    const Tensor &x = call.in[0], &samples = call.in[1];
    if (x.rank() < 1) throw ShapeError("dropout: x must be [N, ...]; got {}", x.str());
    if (samples.defined() && (samples.dtype() != DType::i64 || !(samples.shape() == Shape{x.size(0)})))
      throw ShapeError("dropout: samples must be i64 [{}], one index for each row of x; got {}", x.size(0),
                       samples.str());
    call.output(x.shape(), x.dtype(), infer::like(x));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    return apply_with<DropoutOp>(c.attrs, cot, c.in[1]);
  }
};
REGISTER_OP(DropoutOp);
}  // namespace

Tensor dropout(const Tensor& x, double p, const RngKey& key, const Tensor& samples) {
  if (!(p >= 0 && p < 1)) throw ValueError("dropout: a probability lies in [0, 1); got {}", p);
  if (p == 0) return x;
  return apply_with<DropoutOp>(AttrBox::of(DropoutAttrs{p, key}), x, sample_indices_on(samples, x.device()));
}

}  // namespace retort
