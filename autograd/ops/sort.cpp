// autograd/ops/sort.cpp -- sort(x, axis): elements in order and their places, stable.
#include "autograd/ops/sort.h"

#include "autograd/ordered.h"

namespace retort {

namespace {
struct Sort : Ordered<Sort> {
  static constexpr std::string_view name = "sort";
};
REGISTER_OP(Sort);
}  // namespace

Sorted sort(const Tensor& x, int axis, bool descending) {
  const int a = normalize_axis(axis, x.rank(), "sort");
  Tensor out[2];
  apply(op_of<Sort>(), std::span(&x, 1), AttrBox::of(SortAttrs{a, descending, x.shape()[a]}), out);
  return {out[0], out[1]};
}

Tensor argsort(const Tensor& x, int axis, bool descending) { return sort(x, axis, descending).indices; }

}  // namespace retort
