// autograd/ops/argmax.cpp -- argmax(x, axis), the index of the first largest element along an axis, i64.
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Argmax : NonDifferentiable<Argmax> {
  static constexpr std::string_view name = "argmax";
  static void infer(InferCall& call) {
    if (reduced_count(call.in[0].shape(), call.attrs.as<ReduceAttrs>().axes) == 0)
      throw ShapeError("argmax: no elements to choose from; got {}", call.in[0].str());
    infer::reduction(call, DType::i64);
  }
};
REGISTER_OP(Argmax);
}  // namespace

Tensor argmax(const Tensor& x, int axis, bool keepdim) {
  const int a = normalize_axis(axis, x.rank(), "argmax");
  return apply_with<Argmax>(AttrBox::of(ReduceAttrs{1u << a, keepdim}), x);
}

}  // namespace retort
