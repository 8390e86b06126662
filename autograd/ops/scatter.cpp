// autograd/ops/scatter.cpp -- x with some elements of each line along an axis written over.
#include "autograd/ops/create.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Scatter : Linear<Scatter> {
  static constexpr std::string_view name = "scatter";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 0}; }
  static void infer(InferCall& call) {
    const Tensor &x = call.in[0], &index = call.in[1], &src = call.in[2];
    const int axis = call.attrs.as<IndexAttrs>().axis;
    infer::require_index(call, 1);
    if (src.dtype() != x.dtype())
      throw DTypeError("scatter: source and target must have one dtype; got {} and {}", src.str(), x.str());
    Shape expected = x.shape();
    if (index.rank() == x.rank()) expected[axis] = index.shape()[axis];
    if (!(index.shape() == expected) || !(src.shape() == expected))
      throw ShapeError(
          "scatter: index and source must have one shape, with the extents of x on all axes but {}; got {}, "
          "{} and {}",
          axis, index.str(), src.str(), x.str());
    call.output(x.shape(), x.dtype(), infer::like(x));
  }
  /// 1 for the sources that were not written over by a later one, by asking each place who wrote it last.
  static Tensor winners(const Tensor& index, int axis, std::int64_t extent, DType dtype) {
    Shape along = Dims::filled(index.rank(), 1), target = index.shape();
    along[axis] = index.shape()[axis];
    target[axis] = extent;
    const Tensor numbers = reshape(arange(along[axis], DType::i64, index.device()), along);
    const Tensor writer = broadcast_to(numbers, index.shape());
    const Tensor last = scatter(Tensor::zeros(target, DType::i64, index.device()), axis, index, writer);
    return cast(equal(gather(last, axis, index), writer), dtype);
  }
  static Tensor transpose(std::size_t i, const Tensor& cot, const VjpCall& c) {
    const int axis = c.attrs.as<IndexAttrs>().axis;
    const Tensor& index = c.in[1];
    if (i == 0) return scatter(cot, axis, index, Tensor::zeros(index.shape(), cot.dtype(), cot.device()));
    return gather(cot, axis, index) * winners(index, axis, cot.shape()[axis], cot.dtype());
  }
};
REGISTER_OP(Scatter);
}  // namespace

Tensor scatter(const Tensor& x, int axis, const Tensor& index, const Tensor& src) {
  return apply_with<Scatter>(AttrBox::of(IndexAttrs{normalize_axis(axis, x.rank(), "scatter")}), x, index, src);
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) { return where(mask, scalar_like(x, value), x); }

}  // namespace retort
