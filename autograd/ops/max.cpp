// autograd/ops/max.cpp -- max over axes. dy/dx = 1/k at each of the k elements equal to the extreme, 0 elsewhere.
#include "autograd/extreme.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct Max : Extreme<Max> {
  static constexpr std::string_view name = "max";
};
REGISTER_OP(Max);
}  // namespace

Tensor max(const Tensor& x, const Axes& axes, bool keepdim) {
  return apply_with<Max>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "max"), keepdim}), x);
}

}  // namespace retort
