// tensor/shape.h -- shapes, strides and layouts: how logical indices map to elements of a storage.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace retort {

inline constexpr int kMaxRank = 8;

/// A short list of extents or strides (at most kMaxRank), kept inline.
class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<std::int64_t> values) { assign(values.begin(), values.end()); }
  explicit Dims(std::span<const std::int64_t> values) { assign(values.data(), values.data() + values.size()); }
  static Dims filled(int rank, std::int64_t value);

  int rank() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  std::int64_t operator[](int i) const { return v_[static_cast<std::size_t>(i)]; }
  std::int64_t& operator[](int i) { return v_[static_cast<std::size_t>(i)]; }
  const std::int64_t* begin() const { return v_.data(); }
  const std::int64_t* end() const { return v_.data() + rank_; }
  std::int64_t* begin() { return v_.data(); }
  std::int64_t* end() { return v_.data() + rank_; }
  std::int64_t back() const { return v_[static_cast<std::size_t>(rank_ - 1)]; }
  void push_back(std::int64_t value);
  void insert(int position, std::int64_t value);
  void erase(int position);
  bool operator==(const Dims& o) const;
  /// Product of the entries; 1 for rank 0.
  std::int64_t product() const;
  /// "[2, 3]"
  std::string str() const;

 private:
  void assign(const std::int64_t* first, const std::int64_t* last);
  std::array<std::int64_t, kMaxRank> v_{};
  int rank_ = 0;
};
using Shape = Dims;
using Strides = Dims;

/// Row-major strides of a shape.
Strides contiguous_strides(const Shape& shape);
/// Strides of a logical NC[D][H]W shape stored with channels innermost. Rank below 3 gives row-major strides.
Strides channels_last_strides(const Shape& shape);
/// Numpy broadcasting of two shapes; throws ShapeError naming `op`.
Shape broadcast_shapes(const Shape& a, const Shape& b, std::string_view op);
/// Maps a possibly negative axis into [0, rank); throws ShapeError naming `op`.
int normalize_axis(int axis, int rank, std::string_view op);

struct Layout {
  Shape shape;
  Strides strides;          ///< in elements; 0 for a broadcast axis
  std::int64_t offset = 0;  ///< first element, in elements from the storage's start

  std::int64_t numel() const { return shape.product(); }
  bool contiguous() const;     ///< row-major without gaps (axes of extent 1 are ignored)
  bool channels_last() const;  ///< rank >= 3 and channels innermost without gaps
  bool dense() const;          ///< some permutation of row-major: every element of a gap-free block exactly once
  /// Elements from the first to one past the last one reached; 0 for an empty tensor.
  std::int64_t extent() const;
};

/// Dense strides of `shape` in `like`'s memory arrangement: row-major, channels last, or any order of axes when `like`
/// is dense; row-major otherwise. The ranks must agree.
Strides strides_ordered_like(const Layout& like, const Shape& shape);

/// The elements of `from` at begin[a] + i step[a], i < shape[a].
Layout sliced_layout(const Layout& from, const Dims& begin, const Dims& step, const Shape& shape);

/// Layout of `shape` seen through `from` with stride 0 on broadcast axes. The shapes must be compatible.
Layout broadcast_layout(const Layout& from, const Shape& shape);

}  // namespace retort
