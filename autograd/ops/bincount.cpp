// autograd/ops/bincount.cpp -- how often each id occurs, or how much weight it has.
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Bincount : NonDifferentiable<Bincount> {
  static constexpr std::string_view name = "bincount";
  static void infer(InferCall& call) {
    infer::require_index(call, 0);
    call.output({call.attrs.as<IndexAttrs>().extent}, DType::i64);
  }
};
REGISTER_OP(Bincount);
}  // namespace

Tensor bincount(const Tensor& ids, std::int64_t bins, const Tensor& weights) {
  if (bins < 0) throw ValueError("bincount: the number of bins must not be negative; got {}", bins);
  if (!weights.defined()) return apply_with<Bincount>(AttrBox::of(IndexAttrs{0, bins}), ids);
  if (!(weights.shape() == ids.shape()))
    throw ShapeError("bincount: ids and weights must have one shape; got {} and {}", ids.str(), weights.str());
  return scatter_add(reshape(weights, {-1}), 0, reshape(ids, {-1}), bins);
}

}  // namespace retort
