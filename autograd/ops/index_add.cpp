// autograd/ops/index_add.cpp -- slices added into zeros at a list of indices; the adjoint of index_select.
#include "autograd/ops/index.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct IndexAdd : Linear<IndexAdd> {
  static constexpr std::string_view name = "index_add";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 0}; }
  static void infer(InferCall& call) {
    const Tensor &src = call.in[0], &indices = call.in[1];
    const auto& a = call.attrs.as<IndexAttrs>();
    infer::require_float(call, 0);
    infer::require_index(call, 1);
    Shape shape = src.shape();
    for (int i = 0; i < indices.rank(); ++i) {
      if (a.axis + i >= src.rank() || src.shape()[a.axis + i] != indices.shape()[i])
        throw ShapeError("index_add: from axis {} on, the source must have the axes of the indices; got {} and {}",
                         a.axis, src.str(), indices.str());
      shape.erase(a.axis);
    }
    shape.insert(a.axis, a.extent);
    const bool same_axes = indices.rank() == 1;
    call.output(shape, src.dtype(), same_axes ? strides_ordered_like(src.layout(), shape) : contiguous_strides(shape));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    return index_select(cot, c.attrs.as<IndexAttrs>().axis, c.in[1]);
  }
};
REGISTER_OP(IndexAdd);
}  // namespace

Tensor index_add(const Tensor& src, int axis, const Tensor& indices, std::int64_t extent) {
  const int a = normalize_axis(axis, src.rank() - indices.rank() + 1, "index_add");
  return apply_with<IndexAdd>(AttrBox::of(IndexAttrs{a, extent}), src, indices);
}

}  // namespace retort
