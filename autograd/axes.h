// autograd/axes.h -- lists of axes, as reductions and permutations take them.
#pragma once
#include <array>
#include <initializer_list>
#include <span>
#include <string_view>

#include "tensor/tensor.h"

namespace retort {

/// Up to kMaxRank axes, kept inline; negative ones count from the end. What an empty list means is the op's to say.
/// Throws ShapeError beyond kMaxRank.
class Axes {
 public:
  Axes() = default;
  Axes(std::initializer_list<int> list) : Axes(std::span(list.begin(), list.size())) {}
  explicit Axes(std::span<const int> list);
  /// The axes whose bits are set.
  static Axes of_mask(std::uint32_t mask);
  const int* begin() const { return axes_.data(); }
  const int* end() const { return axes_.data() + size_; }
  int size() const { return size_; }

 private:
  std::array<int, kMaxRank> axes_{};
  int size_ = 0;
};

/// The axes of a tensor of this rank as bits (bit a = axis a); an empty list gives all of them. Throws ShapeError
/// naming `op` for an axis outside the rank or named twice.
std::uint32_t axis_mask(int rank, const Axes& axes, std::string_view op);
/// `shape` without the axes in `mask`, or with extent 1 there when `keepdim`.
Shape reduced_shape(const Shape& shape, std::uint32_t mask, bool keepdim);
/// Product of the extents of the axes in `mask`.
std::int64_t reduced_count(const Shape& shape, std::uint32_t mask);

}  // namespace retort
