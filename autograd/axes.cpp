#include "autograd/axes.h"

#include <algorithm>

namespace retort {

Axes::Axes(std::span<const int> list) : size_(static_cast<int>(list.size())) {
  if (list.size() > axes_.size()) throw ShapeError("axes: {} axes are more than {}", list.size(), kMaxRank);
  std::copy(list.begin(), list.end(), axes_.begin());
}

Axes Axes::of_mask(std::uint32_t mask) {
  Axes axes;
  for (int a = 0; a < kMaxRank; ++a)
    if (mask >> a & 1u) axes.axes_[static_cast<std::size_t>(axes.size_++)] = a;
  return axes;
}

std::uint32_t axis_mask(int rank, const Axes& axes, std::string_view op) {
  if (axes.size() == 0) return (1u << rank) - 1u;
  std::uint32_t mask = 0;
  for (const int axis : axes) {
    const std::uint32_t bit = 1u << normalize_axis(axis, rank, op);
    if (mask & bit) throw ShapeError("{}: axis {} is named twice", op, axis);
    mask |= bit;
  }
  return mask;
}

Shape reduced_shape(const Shape& shape, std::uint32_t mask, bool keepdim) {
  Shape out;
  for (int a = 0; a < shape.rank(); ++a) {
    if (!(mask >> a & 1u))
      out.push_back(shape[a]);
    else if (keepdim)
      out.push_back(1);
  }
  return out;
}

std::int64_t reduced_count(const Shape& shape, std::uint32_t mask) {
  std::int64_t n = 1;
  for (int a = 0; a < shape.rank(); ++a)
    if (mask >> a & 1u) n *= shape[a];
  return n;
}

}  // namespace retort
