// tensor/cpu/rows.h -- for kernels that work on whole rows along one axis: walking the rows of several operands of any
// strides, and row arithmetic whose order of summation is fixed.
#pragma once
#include <limits>

#include "tensor/cpu/loops.h"
#include "tensor/cpu/scratch.h"

namespace retort::cpu {

/// `layout` without `axis`: where each row along that axis begins.
inline Layout row_starts(const Layout& layout, int axis) {
  Layout starts = layout;
  starts.shape.erase(axis);
  starts.strides.erase(axis);
  return starts;
}

/// The rows of N operands of one shape (see row_starts), in the memory order of operand 0.
template <int N>
class RowNest {
 public:
  explicit RowNest(const std::array<Layout, N>& starts) : nest_(starts), rows_(starts[0].numel()) {}
  std::int64_t rows() const { return rows_; }

  /// Calls f(offsets) for the rows [begin, end): the first element of the row in each operand, in elements.
  template <class F>
  void walk(std::int64_t begin, std::int64_t end, F&& f) const {
    std::array<std::int64_t, kMaxRank> at{};
    std::array<std::int64_t, N> offset{};
    const auto rank = static_cast<std::size_t>(nest_.rank);
    std::int64_t rest = begin;
    for (std::size_t a = rank; a-- > 0;) {
      at[a] = rest % nest_.extent[a];
      rest /= nest_.extent[a];
      for (std::size_t k = 0; k < N; ++k) offset[k] += at[a] * nest_.stride[k][a];
    }
    for (std::int64_t row = begin; row < end; ++row) {
      f(std::as_const(offset));
      for (std::size_t a = rank; a-- > 0;) {
        for (std::size_t k = 0; k < N; ++k) offset[k] += nest_.stride[k][a];
        if (++at[a] < nest_.extent[a]) break;
        for (std::size_t k = 0; k < N; ++k) offset[k] -= nest_.stride[k][a] * nest_.extent[a];
        at[a] = 0;
      }
    }
  }

 private:
  LoopNest<N> nest_;
  std::int64_t rows_;
};

/// Rows of n elements that one task takes.
inline std::int64_t rows_per_task(std::int64_t n) {
  return std::max<std::int64_t>(1, 16 * 1024 / std::max<std::int64_t>(n, 1));
}

/// The row at p in compute type: p itself where that is possible, else a converted copy in `buffer`.
template <class T>
const compute_t<T>* load_row(const T* p, std::int64_t n, std::int64_t step, compute_t<T>* buffer) {
  if constexpr (std::is_same_v<T, compute_t<T>>)
    if (step == 1) return p;
  if (step == 1)
    for (std::int64_t i = 0; i < n; ++i) buffer[i] = static_cast<compute_t<T>>(p[i]);
  else
    for (std::int64_t i = 0; i < n; ++i) buffer[i] = static_cast<compute_t<T>>(p[i * step]);
  return buffer;
}

/// Where to compute a row that store_row then brings to p: p itself where that is possible, else `buffer`.
template <class T>
compute_t<T>* target_row(T* p, std::int64_t step, compute_t<T>* buffer) {
  if constexpr (std::is_same_v<T, compute_t<T>>)
    if (step == 1) return p;
  return buffer;
}
template <class T>
void store_row(const compute_t<T>* row, T* p, std::int64_t n, std::int64_t step) {
  if constexpr (std::is_same_v<T, compute_t<T>>)
    if (row == p) return;
  if (step == 1)
    for (std::int64_t i = 0; i < n; ++i) p[i] = static_cast<T>(row[i]);
  else
    for (std::int64_t i = 0; i < n; ++i) p[i * step] = static_cast<T>(row[i]);
}

inline constexpr std::int64_t kLanes = 16;

/// term(0) + ... + term(n - 1) in sixteen running sums, folded pairwise: the same bits for every vector width.
template <class C, class F>
C lane_sum(std::int64_t n, F term) {
  C lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) lane[k] += term(i + k);
  for (std::int64_t k = 0; i < n; ++i, ++k) lane[k] += term(i);
  for (std::int64_t width = kLanes / 2; width > 0; width /= 2)
    for (std::int64_t k = 0; k < width; ++k) lane[k] += lane[k + width];
  return lane[0];
}

/// Largest of n values, NaN aside; -infinity when there is none.
template <class C>
C row_max(const C* x, std::int64_t n) {
  C lane[kLanes];
  for (C& v : lane) v = -std::numeric_limits<C>::infinity();
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (std::int64_t k = 0; k < kLanes; ++k) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
  for (std::int64_t k = 0; i < n; ++i, ++k) lane[k] = x[i] > lane[k] ? x[i] : lane[k];
  for (std::int64_t width = kLanes / 2; width > 0; width /= 2)
    for (std::int64_t k = 0; k < width; ++k) lane[k] = lane[k + width] > lane[k] ? lane[k + width] : lane[k];
  return lane[0];
}

/// The n values of a rank-1 parameter as C; `missing` everywhere when it is absent.
template <class C>
void load_vector(const Tensor& t, std::int64_t n, C missing, C* out) {
  if (!t.defined()) {
    std::fill_n(out, n, missing);
    return;
  }
  visit_float(t.dtype(), [&]<class P>(P) {
    const P* p = t.data<P>();
    const std::int64_t step = t.strides()[0];
    for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<C>(static_cast<compute_t<P>>(p[i * step]));
  });
}
/// The reverse, into a row-major tensor of n elements of any float dtype.
template <class C>
void store_vector(const C* values, std::int64_t n, const Tensor& t) {
  visit_float(t.dtype(), [&]<class P>(P) {
    P* p = t.mutable_data<P>();
    for (std::int64_t i = 0; i < n; ++i) p[i] = static_cast<P>(static_cast<compute_t<P>>(values[i]));
  });
}

}  // namespace retort::cpu
