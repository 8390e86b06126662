// autograd/ops/any.cpp -- any(x), the disjunction of bool elements over axes.
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Any : NonDifferentiable<Any> {
  static constexpr std::string_view name = "any";
  static void infer(InferCall& call) {
    if (call.in[0].dtype() != DType::boolean)
      throw DTypeError("any: the input must be bool; got {}; hint: compare first", call.in[0].str());
    infer::reduction(call, DType::boolean);
  }
};
REGISTER_OP(Any);
}  // namespace

Tensor any(const Tensor& x, const Axes& axes, bool keepdim) {
  return apply_with<Any>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "any"), keepdim}), x);
}

}  // namespace retort
