// autograd/ops/broadcast_to.cpp -- a view with stride 0 on repeated axes; its adjoint sums them.
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct BroadcastTo : Linear<BroadcastTo> {
  static constexpr std::string_view name = "broadcast_to";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static Tensor view(const Tensor& x, const AttrBox& attrs) {
    return x.view(broadcast_layout(x.layout(), attrs.as<Shape>()));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) { return sum_to(cot, c.in[0].shape()); }
};
REGISTER_OP(BroadcastTo);
}  // namespace

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  if (!(broadcast_shapes(x.shape(), shape, "broadcast_to") == shape))
    throw ShapeError("broadcast_to: {} does not broadcast to {}", x.str(), shape.str());
  return apply_with<BroadcastTo>(AttrBox::of(shape), x);
}

}  // namespace retort
