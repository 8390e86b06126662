// autograd/ops/top_k.cpp -- the k first elements of an order along an axis, and their places.
#include "autograd/ops/sort.h"
#include "autograd/ordered.h"

namespace retort {

namespace {
struct TopK : Ordered<TopK> {
  static constexpr std::string_view name = "top_k";
};
REGISTER_OP(TopK);
}  // namespace

Sorted top_k(const Tensor& x, std::int64_t k, int axis, bool largest) {
  const int a = normalize_axis(axis, x.rank(), "top_k");
  if (k < 0 || k > x.shape()[a])
    throw ValueError("top_k: k must lie between 0 and the extent of axis {}; got {} for {}", a, k, x.str());
  Tensor out[2];
  apply(op_of<TopK>(), std::span(&x, 1), AttrBox::of(SortAttrs{a, largest, k}), out);
  return {out[0], out[1]};
}

}  // namespace retort
