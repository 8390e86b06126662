// tests/op_cases/linalg_loops.h -- linear algebra from the definitions, by plain loops in f64, and matrices to test it.
#pragma once
#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/linalg.h"
#include "tests/op_case.h"

namespace retort::testing {

/// A row-major matrix of doubles.
struct Grid {
  std::int64_t rows, cols;
  std::vector<double> v;
  Grid(std::int64_t r, std::int64_t c) : rows(r), cols(c), v(static_cast<std::size_t>(r * c), 0.0) {}
  double& operator()(std::int64_t i, std::int64_t j) { return v[static_cast<std::size_t>(i * cols + j)]; }
  double operator()(std::int64_t i, std::int64_t j) const { return v[static_cast<std::size_t>(i * cols + j)]; }
};

inline Grid product(const Grid& a, const Grid& b) {
  Grid c(a.rows, b.cols);
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < b.cols; ++j)
      for (std::int64_t l = 0; l < a.cols; ++l) c(i, j) += a(i, l) * b(l, j);
  return c;
}
inline Grid transposed(const Grid& a) {
  Grid t(a.cols, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < a.cols; ++j) t(j, i) = a(i, j);
  return t;
}

/// Gauss-Jordan with the largest pivot of each column: the solution of a x = b, and the product of the pivots.
inline Grid eliminated(Grid a, Grid b, double* determinant = nullptr) {
  double det = 1;
  for (std::int64_t p = 0; p < a.rows; ++p) {
    std::int64_t best = p;
    for (std::int64_t i = p; i < a.rows; ++i)
      if (std::abs(a(i, p)) > std::abs(a(best, p))) best = i;
    for (std::int64_t j = 0; j < a.cols; ++j) std::swap(a(p, j), a(best, j));
    for (std::int64_t j = 0; j < b.cols; ++j) std::swap(b(p, j), b(best, j));
    const double pivot = a(p, p);
    det *= best == p ? pivot : -pivot;
    for (std::int64_t j = 0; j < a.cols; ++j) a(p, j) /= pivot;
    for (std::int64_t j = 0; j < b.cols; ++j) b(p, j) /= pivot;
    for (std::int64_t i = 0; i < a.rows; ++i) {
      if (i == p) continue;
      const double factor = a(i, p);
      for (std::int64_t j = 0; j < a.cols; ++j) a(i, j) -= factor * a(p, j);
      for (std::int64_t j = 0; j < b.cols; ++j) b(i, j) -= factor * b(p, j);
    }
  }
  if (determinant) *determinant = det;
  return b;
}

/// Eigenvalues of a symmetric matrix, ascending, by Jacobi's rotations.
inline std::vector<double> jacobi_eigenvalues(Grid a) {
  for (int sweep = 0; sweep < 30; ++sweep)
    for (std::int64_t p = 0; p < a.rows; ++p)
      for (std::int64_t q = p + 1; q < a.rows; ++q) {
        const double angle = 0.5 * std::atan2(2 * a(p, q), a(q, q) - a(p, p)), c = std::cos(angle), s = std::sin(angle);
        for (std::int64_t i = 0; i < a.rows; ++i) {
          const double x = a(i, p), y = a(i, q);
          a(i, p) = c * x - s * y;
          a(i, q) = s * x + c * y;
        }
        for (std::int64_t i = 0; i < a.rows; ++i) {
          const double x = a(p, i), y = a(q, i);
          a(p, i) = c * x - s * y;
          a(q, i) = s * x + c * y;
        }
      }
  std::vector<double> w;
  for (std::int64_t i = 0; i < a.rows; ++i) w.push_back(a(i, i));
  std::sort(w.begin(), w.end());
  return w;
}

/// The matrices of t [.., m, n] in order.
inline std::vector<Grid> grids(const Tensor& t) {
  const auto v = t.values();
  const std::int64_t m = t.size(-2), n = t.size(-1);
  std::vector<Grid> out;
  for (std::size_t at = 0; at < v.size(); at += static_cast<std::size_t>(m * n)) {
    Grid g(m, n);
    std::copy_n(v.begin() + static_cast<std::ptrdiff_t>(at), m * n, g.v.begin());
    out.push_back(g);
  }
  return out;
}
/// One result per matrix of the input, each appended to the values of a tensor of `shape`.
template <class F>
Tensor per_matrix(const Tensor& in, const Shape& shape, const F& f) {
  std::vector<double> out;
  for (const Grid& g : grids(in)) {
    const auto y = f(g);
    out.insert(out.end(), y.begin(), y.end());
  }
  return Tensor::from(out, shape, DType::f64);
}
inline Shape shape_with(const Tensor& t, std::initializer_list<std::int64_t> last) {
  Shape s(std::span(t.shape().begin(), t.shape().end() - 2));
  for (const std::int64_t extent : last) s.push_back(extent);
  return s;
}

/// 1, 2, .., k and `spread` times normal values beside them: square, well conditioned, distinct singular values.
inline Tensor graded(const Shape& shape, double spread = 0.2, std::uint64_t seed = 1) {
  auto v = randn(shape, seed).values();
  const std::int64_t m = shape[shape.rank() - 2], n = shape[shape.rank() - 1];
  for (std::size_t at = 0; at < v.size(); ++at) {
    const std::int64_t i = static_cast<std::int64_t>(at) / n % m, j = static_cast<std::int64_t>(at) % n;
    v[at] = spread * v[at] + (i == j ? static_cast<double>(i + 1) : 0.0);
  }
  return Tensor::from(v, shape, DType::f64);
}
/// The identity, once per matrix of a batch.
inline Tensor identities(const Shape& shape) { return triangle(triangle(Tensor::full(shape, 1.0, DType::f64)), true); }

}  // namespace retort::testing
