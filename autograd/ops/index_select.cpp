// autograd/ops/index_select.cpp -- slices of x along an axis in the order of a list of indices; embedding is its use on
// rows. Adjoint: index_add.
#include "autograd/ops/index.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct IndexSelect : Linear<IndexSelect> {
  static constexpr std::string_view name = "index_select";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 1}; }
  static void infer(InferCall& call) {
    const Tensor &x = call.in[0], &indices = call.in[1];
    const int axis = call.attrs.as<IndexAttrs>().axis;
    infer::require_index(call, 1);
    if (x.rank() - 1 + indices.rank() > kMaxRank)
      throw ShapeError("index_select: more than {} axes; got {} and {}", kMaxRank, x.str(), indices.str());
    Shape shape;
    for (int a = 0; a < axis; ++a) shape.push_back(x.shape()[a]);
    for (const std::int64_t extent : indices.shape()) shape.push_back(extent);
    for (int a = axis + 1; a < x.rank(); ++a) shape.push_back(x.shape()[a]);
    const bool same_axes = indices.rank() == 1;
    call.output(shape, x.dtype(), same_axes ? strides_ordered_like(x.layout(), shape) : contiguous_strides(shape));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const int axis = c.attrs.as<IndexAttrs>().axis;
    return index_add(cot, axis, c.in[1], c.in[0].shape()[axis]);
  }
};
REGISTER_OP(IndexSelect);
}  // namespace

Tensor index_select(const Tensor& x, int axis, const Tensor& indices) {
  return apply_with<IndexSelect>(AttrBox::of(IndexAttrs{normalize_axis(axis, x.rank(), "index_select")}), x, indices);
}

Tensor embedding(const Tensor& weight, const Tensor& ids) {
  if (weight.rank() != 2) throw ShapeError("embedding: the weight must be a table of rows; got {}", weight.str());
  return index_select(weight, 0, ids);
}

}  // namespace retort
