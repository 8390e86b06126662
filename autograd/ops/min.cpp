// autograd/ops/min.cpp -- min over axes. dy/dx = 1/k at each of the k elements equal to the extreme, 0 elsewhere.
#include "autograd/extreme.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct Min : Extreme<Min> {
  static constexpr std::string_view name = "min";
};
REGISTER_OP(Min);
}  // namespace

Tensor min(const Tensor& x, const Axes& axes, bool keepdim) {
  return apply_with<Min>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "min"), keepdim}), x);
}

}  // namespace retort
