// tensor/cpu/linalg.cpp -- CPU kernels of triangular factors and linear systems, one Eigen factorisation per matrix.
#include <cmath>

#include "tensor/attrs.h"
#include "tensor/cpu/matrices.h"
#include "tensor/primitive.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // as in tensor/cpu/eigen.h
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/Cholesky>
#include <Eigen/LU>
#include <Eigen/QR>

namespace retort {

using cpu::for_each_matrix;
using cpu::Matrices;
using cpu::Matrix;
using cpu::visit_f32_f64;

namespace {
/// Index of the first entry of a diagonal that `good` refuses, or -1.
template <class D, class Good>
std::int64_t first_bad(const D& diagonal, const Good& good) {
  for (Eigen::Index i = 0; i < diagonal.size(); ++i)
    if (!good(diagonal[i])) return i;
  return -1;
}
template <class D>
std::int64_t first_singular(const D& diagonal) {
  return first_bad(diagonal, [](auto d) { return d != 0 && std::isfinite(d); });
}
}  // namespace

RETORT_CPU_KERNEL(triangle) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const auto& a = call.attrs.as<TriangleAttrs>();
  if (y.numel() == 0) return;
  visit_f32_f64(x.dtype(), [&]<class T>(T) {
    const Matrices<T> from(x), to(y);
    const std::int64_t rows = x.size(-2), cols = x.size(-1);
    for_each_matrix(x.numel() / (rows * cols), rows * cols, [&](std::int64_t i) {
      auto m = to[i];
      if (a.upper)
        m = from[i].template triangularView<Eigen::StrictlyUpper>();
      else
        m = from[i].template triangularView<Eigen::StrictlyLower>();
      m.diagonal() = from[i].diagonal() * static_cast<T>(a.diagonal);
    });
  });
}

RETORT_CPU_KERNEL(cholesky) {
  const Tensor &a = call.in[0], &l = call.out[0];
  const std::int64_t n = a.size(-1);
  if (l.numel() == 0) return;
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a), to(l);
    const auto factor = [&](std::int64_t i) -> std::int64_t {
      Matrix<T> m = from[i];
      m = T(0.5) * (m + m.transpose()).eval();
      const Eigen::Index stopped = Eigen::internal::llt_inplace<T, Eigen::Lower>::blocked(m);
      if (stopped >= 0) return stopped;
      to[i] = m.template triangularView<Eigen::Lower>();
      // A NaN is not found by the factorisation, which stops at pivots <= 0.
      return first_bad(m.diagonal(), [](T d) { return d > 0 && std::isfinite(d); });
    };
    for_each_matrix(a.numel() / (n * n), n * n * n / 3, factor, [&](std::int64_t i, std::int64_t pivot) {
      return NumericError(
          "cholesky: matrix {} of the batch is not positive definite; got pivot {} not above 0 in {}; "
          "hint: add a small multiple of the identity",
          i, pivot, a.str());
    });
  });
}

RETORT_CPU_KERNEL(triangular_solve) {
  const Tensor &a = call.in[0], &b = call.in[1], &x = call.out[0];
  const auto& attrs = call.attrs.as<TriangularSolveAttrs>();
  const std::int64_t n = x.size(-2), k = x.size(-1);
  if (x.numel() == 0) return;
  const Shape batch = cpu::batch_shape(x);
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a, batch), right(b, batch), to(x);
    const auto solve = [&](std::int64_t i) -> std::int64_t {
      const Matrix<T> m = from[i];
      if (const std::int64_t bad = first_singular(m.diagonal()); bad >= 0) return bad;
      Matrix<T> y = right[i];
      if (attrs.upper && !attrs.transpose) m.template triangularView<Eigen::Upper>().solveInPlace(y);
      if (attrs.upper && attrs.transpose) m.template triangularView<Eigen::Upper>().transpose().solveInPlace(y);
      if (!attrs.upper && !attrs.transpose) m.template triangularView<Eigen::Lower>().solveInPlace(y);
      if (!attrs.upper && attrs.transpose) m.template triangularView<Eigen::Lower>().transpose().solveInPlace(y);
      to[i] = y;
      return -1;
    };
    for_each_matrix(batch.product(), n * n * k, solve, [&](std::int64_t i, std::int64_t pivot) {
      return NumericError(
          "triangular_solve: matrix {} of the batch is singular; got 0 or no finite number at "
          "diagonal position {} in {}",
          i, pivot, a.str());
    });
  });
}

namespace {
/// LU of matrix `m` with the position of the first pivot that is 0 or not finite, or -1.
template <class T>
std::pair<Eigen::PartialPivLU<Matrix<T>>, std::int64_t> lu_of(const typename Matrices<T>::View& m) {
  Eigen::PartialPivLU<Matrix<T>> lu(m);
  const std::int64_t bad = first_singular(lu.matrixLU().diagonal());
  return {std::move(lu), bad};
}
NumericError singular(std::string_view op, const Tensor& a, std::int64_t i, std::int64_t pivot) {
  return NumericError("{}: matrix {} of the batch is singular; got 0 or no finite number as pivot {} in {}", op, i,
                      pivot, a.str());
}
}  // namespace

RETORT_CPU_KERNEL(solve) {
  const Tensor &a = call.in[0], &b = call.in[1], &x = call.out[0];
  const std::int64_t n = x.size(-2), k = x.size(-1);
  if (x.numel() == 0) return;
  const Shape batch = cpu::batch_shape(x);
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a, batch), right(b, batch), to(x);
    const auto solve = [&](std::int64_t i) -> std::int64_t {
      const auto [lu, bad] = lu_of<T>(from[i]);
      if (bad < 0) to[i] = lu.solve(Matrix<T>(right[i]));
      return bad;
    };
    for_each_matrix(batch.product(), n * n * (n + 2 * k), solve,
                    [&](std::int64_t i, std::int64_t pivot) { return singular("solve", a, i, pivot); });
  });
}

RETORT_CPU_KERNEL(logabsdet) {
  const Tensor &a = call.in[0], &y = call.out[0];
  const std::int64_t n = a.size(-1);
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a);
    T* to = y.mutable_data<T>();
    const auto sum_of_logs = [&](std::int64_t i) -> std::int64_t {
      const auto [lu, bad] = lu_of<T>(from[i]);
      T total = 0;
      for (Eigen::Index j = 0; j < n; ++j) total += std::log(std::abs(lu.matrixLU()(j, j)));
      to[i] = total;
      return bad;
    };
    for_each_matrix(y.numel(), n * n * n, sum_of_logs,
                    [&](std::int64_t i, std::int64_t pivot) { return singular("logabsdet", a, i, pivot); });
  });
}

RETORT_CPU_KERNEL(qr) {
  const Tensor &a = call.in[0], &q = call.out[0], &r = call.out[1];
  const std::int64_t m = a.size(-2), n = a.size(-1);
  if (a.numel() == 0) return;
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a), to_q(q), to_r(r);
    for_each_matrix(a.numel() / (m * n), 4 * m * n * n, [&](std::int64_t i) {
      const Eigen::HouseholderQR<Matrix<T>> qr(from[i]);
      Matrix<T> thin = qr.householderQ() * Matrix<T>::Identity(m, n);
      Matrix<T> upper = qr.matrixQR().topRows(n).template triangularView<Eigen::Upper>();
      for (Eigen::Index j = 0; j < n; ++j) {
        if (!(upper(j, j) < 0)) continue;
        upper.row(j) = -upper.row(j);
        thin.col(j) = -thin.col(j);
      }
      to_q[i] = thin;
      to_r[i] = upper;
    });
  });
}

}  // namespace retort

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
