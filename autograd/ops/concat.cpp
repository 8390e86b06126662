// autograd/ops/concat.cpp -- tensors one after the other along an axis; the adjoint cuts the pieces out again.
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Concat : Linear<Concat> {
  static constexpr std::string_view name = "concat";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, ~0u}; }
  static void infer(InferCall& call) {
    const int axis = call.attrs.as<int>();
    infer::require_same_dtype(call, 0, call.in.size());
    Shape shape = call.in[0].shape();
    for (std::size_t i = 1; i < call.in.size(); ++i) {
      Shape other = call.in[i].shape();
      if (other.rank() == shape.rank()) {
        const std::int64_t extent = other[axis];
        other[axis] = shape[axis];
        if (other == shape) {
          shape[axis] += extent;
          continue;
        }
      }
      throw ShapeError("concat: shapes differ beyond axis {}; got {} and {}", axis, call.in[0].str(), call.in[i].str());
    }
    call.output(shape, call.in[0].dtype(), strides_ordered_like(call.in[0].layout(), shape));
  }
  static Tensor transpose(std::size_t i, const Tensor& cot, const VjpCall& c) {
    const int axis = c.attrs.as<int>();
    std::int64_t begin = 0;
    for (std::size_t k = 0; k < i; ++k) begin += c.in[k].shape()[axis];
    return slice(cot, axis, begin, begin + c.in[i].shape()[axis]);
  }
};
REGISTER_OP(Concat);
}  // namespace

Tensor concat(std::span<const Tensor> tensors, int axis) {
  if (tensors.empty()) throw ValueError("concat: needs at least one tensor");
  const int a = normalize_axis(axis, tensors[0].rank(), "concat");
  return tensors.size() == 1 ? tensors[0] : apply1(op_of<Concat>(), tensors, AttrBox::of(a));
}

Tensor stack(std::span<const Tensor> tensors, int axis) {
  std::vector<Tensor> raised;
  for (const Tensor& t : tensors) raised.push_back(unsqueeze(t, axis));
  return concat(raised, axis);
}

}  // namespace retort
