// autograd/ops/gather.cpp -- one element of each line of x along an axis, chosen by index. Adjoint: scatter_add.
#include "autograd/ops/index.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Gather : Linear<Gather> {
  static constexpr std::string_view name = "gather";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 1}; }
  static void infer(InferCall& call) {
    const Tensor &x = call.in[0], &index = call.in[1];
    const int axis = call.attrs.as<IndexAttrs>().axis;
    infer::require_index(call, 1);
    Shape expected = x.shape();
    if (index.rank() == x.rank()) expected[axis] = index.shape()[axis];
    if (!(index.shape() == expected))
      throw ShapeError("gather: the index must have the extents of x on all axes but {}; got {} and {}", axis, x.str(),
                       index.str());
    call.output(index.shape(), x.dtype(), strides_ordered_like(x.layout(), index.shape()));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const int axis = c.attrs.as<IndexAttrs>().axis;
    return scatter_add(cot, axis, c.in[1], c.in[0].shape()[axis]);
  }
};
REGISTER_OP(Gather);
}  // namespace

Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  return apply_with<Gather>(AttrBox::of(IndexAttrs{normalize_axis(axis, x.rank(), "gather")}), x, index);
}

}  // namespace retort
