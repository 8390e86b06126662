// autograd/ops/argmin.cpp -- argmin(x, axis), the index of the first smallest element along an axis, i64.
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Argmin : NonDifferentiable<Argmin> {
  static constexpr std::string_view name = "argmin";
  static void infer(InferCall& call) {
    if (reduced_count(call.in[0].shape(), call.attrs.as<ReduceAttrs>().axes) == 0)
      throw ShapeError("argmin: no elements to choose from; got {}", call.in[0].str());
    infer::reduction(call, DType::i64);
  }
};
REGISTER_OP(Argmin);
}  // namespace

Tensor argmin(const Tensor& x, int axis, bool keepdim) {
  const int a = normalize_axis(axis, x.rank(), "argmin");
  return apply_with<Argmin>(AttrBox::of(ReduceAttrs{1u << a, keepdim}), x);
}

}  // namespace retort
