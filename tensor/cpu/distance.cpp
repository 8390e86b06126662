// tensor/cpu/distance.cpp -- CPU kernels of distances between all rows of two sets of points.
#include <cmath>
#include <vector>

#include "tensor/cpu/gemm.h"
#include "tensor/cpu/rows.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

/// One set of a batch: rows by columns with any strides.
template <class T>
struct Points {
  const T* data;
  std::int64_t rows, columns, row_step, column_step;
  T at(std::int64_t i, std::int64_t k) const { return data[i * row_step + k * column_step]; }
};

/// Set number `batch` of a tensor [.., rows, columns], batches counted in row-major order.
template <class T>
Points<T> points_of(const Tensor& t, std::int64_t batch) {
  const int r = t.rank();
  std::int64_t offset = 0;
  for (int a = r - 3; a >= 0; --a) {
    offset += batch % t.shape()[a] * t.strides()[a];
    batch /= t.shape()[a];
  }
  const T* first = t.numel() > 0 ? t.data<T>() + offset : nullptr;
  return {first, t.size(-2), t.size(-1), t.strides()[r - 2], t.strides()[r - 1]};
}
std::int64_t batches_of(const Tensor& t) {
  std::int64_t n = 1;
  for (int a = 0; a < t.rank() - 2; ++a) n *= t.shape()[a];
  return n;
}

/// Rows of x minus `centre`, packed, and their squared lengths.
template <class T>
void centre_rows(const Points<T>& x, const T* centre, T* rows, T* lengths) {
  const std::int64_t d = x.columns;
  cpu::parallel_for(x.rows, cpu::rows_per_task(d), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* row = rows + i * d;
      for (std::int64_t k = 0; k < d; ++k) row[k] = x.at(i, k) - centre[k];
      lengths[i] = cpu::lane_sum<T>(d, [row](std::int64_t k) { return row[k] * row[k]; });
    }
  });
}

/// |a|^2 + |b|^2 - 2ab loses the digits of distances that are small beside the lengths: below this share of them the
/// differences are summed instead.
constexpr double kSmallShare = 1.0 / 16;

template <class T>
void squared_distances(const Points<T>& a, const Points<T>& b, T* scratch, T* y) {
  const std::int64_t n = a.rows, m = b.rows, d = a.columns;
  T* const centre = scratch;
  T* const rows_a = centre + d;
  T* const rows_b = rows_a + n * d;
  T* const lengths_a = rows_b + m * d;
  T* const lengths_b = lengths_a + n;
  std::fill_n(centre, d, T(0));
  for (std::int64_t j = 0; j < m; ++j)
    for (std::int64_t k = 0; k < d; ++k) centre[k] += b.at(j, k);
  for (std::int64_t k = 0; k < d; ++k) centre[k] /= static_cast<T>(m);
  centre_rows(a, centre, rows_a, lengths_a);
  centre_rows(b, centre, rows_b, lengths_b);
  cpu::gemm<T, T>(n, m, d, -2.0, {rows_a, d, 1}, {rows_b, 1, d}, 0.0, y, m);
  cpu::parallel_for(n, cpu::rows_per_task(m), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      T* out = y + i * m;
      const T length = lengths_a[i];
      const T* row = rows_a + i * d;
      int any = 0;
      for (std::int64_t j = 0; j < m; ++j) {
        const T sum = length + lengths_b[j];
        out[j] += sum;
        any |= out[j] < static_cast<T>(kSmallShare) * sum;
      }
      for (std::int64_t j = 0; any && j < m; ++j) {
        if (!(out[j] < static_cast<T>(kSmallShare) * (length + lengths_b[j]))) continue;
        const T* other = rows_b + j * d;
        out[j] = cpu::lane_sum<T>(d, [=](std::int64_t k) { return (row[k] - other[k]) * (row[k] - other[k]); });
      }
    }
  });
}

/// Rows of a set, packed.
template <class T>
std::vector<T> packed(const Points<T>& x) {
  std::vector<T> rows;
  rows.reserve(static_cast<std::size_t>(x.rows * x.columns));
  for (std::int64_t i = 0; i < x.rows; ++i)
    for (std::int64_t k = 0; k < x.columns; ++k) rows.push_back(x.at(i, k));
  return rows;
}

/// grad_i = sum_j g_ij sign(x_i - y_j), row by row.
template <class T, class Weight>
void add_signs(const std::vector<T>& x, const std::vector<T>& y, std::int64_t d, const Weight& g, T* grad) {
  if (d == 0) return;
  const auto n = static_cast<std::int64_t>(x.size()) / d, m = static_cast<std::int64_t>(y.size()) / d;
  cpu::parallel_for(n, cpu::rows_per_task(m * d), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T* row = x.data() + i * d;
      T* out = grad + i * d;
      std::fill_n(out, d, T(0));
      for (std::int64_t j = 0; j < m; ++j) {
        const T* other = y.data() + j * d;
        const T weight = g(i, j);
        for (std::int64_t k = 0; k < d; ++k)
          out[k] += weight * static_cast<T>((row[k] > other[k]) - (row[k] < other[k]));
      }
    }
  });
}

/// Calls f(T{}) with float or double; the shape functions have refused everything else.
template <class F>
void visit_f32_f64(DType t, const F& f) {
  if (t == DType::f64)
    f(double{});
  else
    f(float{});
}

}  // namespace

RETORT_CPU_KERNEL(squared_distance) {
  const Tensor &a = call.in[0], &b = call.in[1], &y = call.out[0];
  if (y.numel() == 0) return;
  visit_f32_f64(y.dtype(), [&]<class T>(T) {
    const std::int64_t each = y.size(-1) * y.size(-2);
    for (std::int64_t i = 0; i < batches_of(y); ++i)
      squared_distances(points_of<T>(a, i), points_of<T>(b, i), reinterpret_cast<T*>(call.scratch),
                        y.mutable_data<T>() + i * each);
  });
}

RETORT_CPU_KERNEL(l1_distance) {
  const Tensor &a = call.in[0], &b = call.in[1], &y = call.out[0];
  if (y.numel() == 0) return;
  visit_f32_f64(y.dtype(), [&]<class T>(T) {
    const std::int64_t n = y.size(-2), m = y.size(-1), d = a.size(-1);
    for (std::int64_t batch = 0; batch < batches_of(y); ++batch) {
      const auto left = packed(points_of<T>(a, batch)), right = packed(points_of<T>(b, batch));
      T* out = y.mutable_data<T>() + batch * n * m;
      cpu::parallel_for(n, cpu::rows_per_task(m * d), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i)
          for (std::int64_t j = 0; j < m; ++j) {
            const T *p = left.data() + i * d, *q = right.data() + j * d;
            out[i * m + j] = cpu::lane_sum<T>(d, [=](std::int64_t k) { return std::abs(p[k] - q[k]); });
          }
      });
    }
  });
}

RETORT_CPU_KERNEL(l1_distance_backward) {
  const Tensor &a = call.in[0], &b = call.in[1], &g = call.in[2], &da = call.out[0], &db = call.out[1];
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const std::int64_t n = a.size(-2), m = b.size(-2), d = a.size(-1);
    for (std::int64_t batch = 0; batch < batches_of(a); ++batch) {
      const auto left = packed(points_of<T>(a, batch)), right = packed(points_of<T>(b, batch));
      const Points<T> weight = points_of<T>(g, batch);
      add_signs(
          left, right, d, [&](std::int64_t i, std::int64_t j) { return weight.at(i, j); },
          da.mutable_data<T>() + batch * n * d);
      add_signs(
          right, left, d, [&](std::int64_t j, std::int64_t i) { return weight.at(i, j); },
          db.mutable_data<T>() + batch * m * d);
    }
  });
}

}  // namespace retort
