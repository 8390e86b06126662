// tensor/cpu/linalg.cpp -- CPU kernels of triangular factors and linear systems, one Eigen factorisation per matrix.
#include <cmath>

#include "tensor/attrs.h"
#include "tensor/cpu/matrices.h"
#include "tensor/primitive.h"

namespace retort {

using cpu::for_each_matrix;
using cpu::Matrices;
using cpu::Matrix;

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
  const Matrices from(x), to(y);
  const std::int64_t rows = x.size(-2), cols = x.size(-1);
  for_each_matrix(x.numel() / (rows * cols), rows * cols, [&](std::int64_t i) {
    Matrix m = from[i];
    const Eigen::VectorXd diagonal = m.diagonal() * a.diagonal;
    if (a.upper)
      m = m.triangularView<Eigen::StrictlyUpper>().toDenseMatrix();
    else
      m = m.triangularView<Eigen::StrictlyLower>().toDenseMatrix();
    m.diagonal() = diagonal;
    to.set(i, m);
  });
}

RETORT_CPU_KERNEL(cholesky) {
  const Tensor &a = call.in[0], &l = call.out[0];
  const std::int64_t n = a.size(-1);
  if (l.numel() == 0) return;
  const Matrices from(a), to(l);
  const auto factor = [&](std::int64_t i) -> std::int64_t {
    Matrix m = from[i];
    m = 0.5 * (m + m.transpose()).eval();
    const Eigen::Index stopped = Eigen::internal::llt_inplace<double, Eigen::Lower>::blocked(m);
    if (stopped >= 0) return stopped;
    to.set(i, m.triangularView<Eigen::Lower>());
    // A NaN is not found by the factorisation, which stops at pivots <= 0.
    return first_bad(m.diagonal(), [](double d) { return std::isfinite(d); });
  };
  for_each_matrix(a.numel() / (n * n), n * n * n / 3, factor, [&](std::int64_t i, std::int64_t pivot) {
    return NumericError(
        "cholesky: matrix {} of the batch is not positive definite; got pivot {} not above 0 in {}; "
        "hint: add a small multiple of the identity",
        i, pivot, a.str());
  });
}

RETORT_CPU_KERNEL(triangular_solve) {
  const Tensor &a = call.in[0], &b = call.in[1], &x = call.out[0];
  const auto& attrs = call.attrs.as<TriangularSolveAttrs>();
  const std::int64_t n = x.size(-2), k = x.size(-1);
  if (x.numel() == 0) return;
  const Shape batch = cpu::batch_shape(x);
  const Matrices from(a, batch), right(b, batch), to(x);
  const auto solve = [&](std::int64_t i) -> std::int64_t {
    const Matrix m = from[i];
    if (const std::int64_t bad = first_singular(m.diagonal()); bad >= 0) return bad;
    Matrix y = right[i];
    if (attrs.upper && !attrs.transpose) m.triangularView<Eigen::Upper>().solveInPlace(y);
    if (attrs.upper && attrs.transpose) m.triangularView<Eigen::Upper>().transpose().solveInPlace(y);
    if (!attrs.upper && !attrs.transpose) m.triangularView<Eigen::Lower>().solveInPlace(y);
    if (!attrs.upper && attrs.transpose) m.triangularView<Eigen::Lower>().transpose().solveInPlace(y);
    to.set(i, y);
    return -1;
  };
  for_each_matrix(batch.product(), n * n * k, solve, [&](std::int64_t i, std::int64_t pivot) {
    return NumericError(
        "triangular_solve: matrix {} of the batch is singular; got 0 or no finite number at "
        "diagonal position {} in {}",
        i, pivot, a.str());
  });
}

namespace {
/// LU of matrix `m` with the position of the first pivot that is 0 or not finite, or -1.
std::pair<Eigen::PartialPivLU<Matrix>, std::int64_t> lu_of(const Matrix& m) {
  Eigen::PartialPivLU<Matrix> lu(m);
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
  const Matrices from(a, batch), right(b, batch), to(x);
  const auto solve = [&](std::int64_t i) -> std::int64_t {
    const auto [lu, bad] = lu_of(from[i]);
    if (bad < 0) to.set(i, lu.solve(right[i]));
    return bad;
  };
  for_each_matrix(batch.product(), n * n * (n + 2 * k), solve,
                  [&](std::int64_t i, std::int64_t pivot) { return singular("solve", a, i, pivot); });
}

RETORT_CPU_KERNEL(qr) {
  const Tensor &a = call.in[0], &q = call.out[0], &r = call.out[1];
  const std::int64_t m = a.size(-2), n = a.size(-1);
  if (a.numel() == 0) return;
  const Matrices from(a), to_q(q), to_r(r);
  for_each_matrix(a.numel() / (m * n), 4 * m * n * n, [&](std::int64_t i) {
    const Eigen::HouseholderQR<Matrix> qr(from[i]);
    Matrix thin = qr.householderQ() * Matrix::Identity(m, n);
    Matrix upper = qr.matrixQR().topRows(n).triangularView<Eigen::Upper>();
    for (Eigen::Index j = 0; j < n; ++j) {
      if (!(upper(j, j) < 0)) continue;
      upper.row(j) = -upper.row(j);
      thin.col(j) = -thin.col(j);
    }
    to_q.set(i, thin);
    to_r.set(i, upper);
  });
}

}  // namespace retort
