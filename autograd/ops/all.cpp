// autograd/ops/all.cpp -- all(x), the conjunction of bool elements over axes.
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct All : NonDifferentiable<All> {
  static constexpr std::string_view name = "all";
  static void infer(InferCall& call) {
    if (call.in[0].dtype() != DType::boolean)
      throw DTypeError("all: the input must be bool; got {}; hint: compare first", call.in[0].str());
    infer::reduction(call, DType::boolean);
  }
};
REGISTER_OP(All);
}  // namespace

Tensor all(const Tensor& x, const Axes& axes, bool keepdim) {
  return apply_with<All>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "all"), keepdim}), x);
}

}  // namespace retort
