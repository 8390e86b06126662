// autograd/ops/clamp.cpp -- clamp(x, low, high) = min(max(x, low), high). d/dx = 1 on [low, high], else 0.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Clamp : Elementwise<Clamp> {
  static constexpr std::string_view name = "clamp";
  static Tensor derivative(const Tensor& x, const AttrBox& attrs) {
    const auto& bounds = attrs.as<ClampAttrs>();
    const Tensor above = less_equal(scalar_like(x, bounds.low), x), below = less_equal(x, scalar_like(x, bounds.high));
    return cast(logical_and(above, below), x.dtype());
  }
};
REGISTER_OP(Clamp);
}  // namespace

Tensor clamp(const Tensor& x, double low, double high) {
  if (!(low <= high)) throw ValueError("clamp: needs low <= high; got {} and {}", low, high);
  return apply_with<Clamp>(AttrBox::of(ClampAttrs{low, high}), x);
}

}  // namespace retort
