// autograd/ops/slice.cpp -- a view of regularly spaced elements; its adjoint puts them back into zeros (embed).
#include <algorithm>

#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Slice : Linear<Slice> {
  static constexpr std::string_view name = "slice";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static Tensor view(const Tensor& x, const AttrBox& attrs) {
    const auto& a = attrs.as<SliceAttrs>();
    return x.view(sliced_layout(x.layout(), a.begin, a.step, a.shape));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const auto& a = c.attrs.as<SliceAttrs>();
    return embed(cot, c.in[0].shape(), a.begin, a.step);
  }
};
REGISTER_OP(Slice);

/// Everything along all axes: what a slice along one axis starts from.
SliceAttrs whole(const Shape& shape) { return {Dims::filled(shape.rank(), 0), Dims::filled(shape.rank(), 1), shape}; }
}  // namespace

Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end, std::int64_t step) {
  const int a = normalize_axis(axis, x.rank(), "slice");
  if (step < 1) throw ValueError("slice: step must be at least 1; got {}; hint: flip reverses an axis", step);
  const std::int64_t extent = x.shape()[a];
  const auto bounded = [extent](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + extent : i, 0, extent); };
  const std::int64_t first = bounded(begin), last = std::max(first, bounded(end));
  if (first == 0 && last == extent && step == 1) return x;
  SliceAttrs attrs = whole(x.shape());
  attrs.begin[a] = first;
  attrs.step[a] = step;
  attrs.shape[a] = (last - first + step - 1) / step;
  return apply_with<Slice>(AttrBox::of(attrs), x);
}

Tensor select(const Tensor& x, int axis, std::int64_t index) {
  const int a = normalize_axis(axis, x.rank(), "select");
  const std::int64_t extent = x.shape()[a], i = index < 0 ? index + extent : index;
  if (i < 0 || i >= extent)
    throw ShapeError("select: index {} is outside axis {} of extent {}; got {}", index, a, extent, x.str());
  return squeeze(slice(x, a, i, i + 1), a);
}

}  // namespace retort
