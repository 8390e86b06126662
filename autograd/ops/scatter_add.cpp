// autograd/ops/scatter_add.cpp -- elements added into lines of zeros at an index; the adjoint of gather.
#include "autograd/ops/index.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct ScatterAdd : Linear<ScatterAdd> {
  static constexpr std::string_view name = "scatter_add";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 0}; }
  static void infer(InferCall& call) {
    const Tensor &src = call.in[0], &index = call.in[1];
    const auto& a = call.attrs.as<IndexAttrs>();
    infer::require_float(call, 0);
    infer::require_index(call, 1);
    if (!(index.shape() == src.shape()))
      throw ShapeError("scatter_add: source and index must have one shape; got {} and {}", src.str(), index.str());
    Shape shape = src.shape();
    shape[a.axis] = a.extent;
    call.output(shape, src.dtype(), strides_ordered_like(src.layout(), shape));
    // 16-bit floats are summed in f32.
    if (size_of(src.dtype()) == 2) call.scratch(shape.product() * size_of(DType::f32));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    return gather(cot, c.attrs.as<IndexAttrs>().axis, c.in[1]);
  }
};
REGISTER_OP(ScatterAdd);
}  // namespace

Tensor scatter_add(const Tensor& src, int axis, const Tensor& index, std::int64_t extent) {
  const int a = normalize_axis(axis, src.rank(), "scatter_add");
  return apply_with<ScatterAdd>(AttrBox::of(IndexAttrs{a, extent}), src, index);
}

}  // namespace retort
