// tensor/cpu/linalg_lu.cpp -- CPU kernels of LU factors, determinants and cofactors, matrix by matrix.
#include <cmath>
#include <limits>

#include "tensor/cpu/matrices.h"
#include "tensor/primitive.h"

namespace retort {

using cpu::for_each_matrix;
using cpu::Matrices;
using cpu::Matrix;

RETORT_CPU_KERNEL(lu) {
  const Tensor &a = call.in[0], &l = call.out[0], &u = call.out[1], &permutation = call.out[2];
  const std::int64_t n = a.size(-1);
  if (a.numel() == 0) return;
  std::int64_t* places = permutation.mutable_data<std::int64_t>();
  const Matrices from(a), to_l(l), to_u(u);
  for_each_matrix(a.numel() / (n * n), n * n * n, [&](std::int64_t i) {
    const Eigen::PartialPivLU<Matrix> lu(from[i]);
    to_l.set(i, lu.matrixLU().triangularView<Eigen::UnitLower>());
    to_u.set(i, lu.matrixLU().triangularView<Eigen::Upper>());
    // Eigen's permutation says where each row goes.
    for (Eigen::Index row = 0; row < n; ++row) places[i * n + lu.permutationP().indices()[row]] = row;
  });
}

RETORT_CPU_KERNEL(det) {
  const Tensor &a = call.in[0], &y = call.out[0];
  const std::int64_t n = a.size(-1);
  const Matrices from(a);
  for_each_matrix(y.numel(), n * n * n, [&](std::int64_t i) {
    cpu::set_number(y, i, n == 0 ? 1 : Eigen::PartialPivLU<Matrix>(from[i]).determinant());
  });
}

RETORT_CPU_KERNEL(slogdet) {
  const Tensor &a = call.in[0], &sign = call.out[0], &logabs = call.out[1];
  const std::int64_t n = a.size(-1);
  const Matrices from(a);
  for_each_matrix(sign.numel(), n * n * n, [&](std::int64_t i) {
    double s = 1, total = 0;
    if (n > 0) {
      const Eigen::PartialPivLU<Matrix> lu(from[i]);
      s = static_cast<double>(lu.permutationP().determinant());
      for (Eigen::Index j = 0; j < n; ++j) {
        const double pivot = lu.matrixLU()(j, j);
        s *= pivot > 0 ? 1 : pivot < 0 ? -1 : pivot;  // 0 and NaN stay what they are
        total += std::log(std::abs(pivot));
      }
    }
    cpu::set_number(sign, i, s);
    cpu::set_number(logabs, i, total);
  });
}

namespace {
/// Cofactors of A = P^-1 L U Q^-1 (complete pivoting) as the product of the factors' cofactors, which are polynomials
/// in the last pivot d: for U = [U1 u; 0 d] they are det(U1) [d U1^-T, 0; -(U1^-1 u)^T, 1]. When U1 is singular too,
/// all minors of A vanish.
Matrix cofactors(const Matrix& a) {
  const Eigen::Index n = a.rows(), m = n - 1;
  const Eigen::FullPivLU<Matrix> lu(a);
  const auto& factors = lu.matrixLU();
  Matrix c = Matrix::Zero(n, n);
  double rest = static_cast<double>(lu.permutationP().determinant() * lu.permutationQ().determinant());
  for (Eigen::Index i = 0; i < m; ++i) rest *= factors(i, i);
  if (rest == 0) return c;
  const Matrix u1 = factors.topLeftCorner(m, m);
  Matrix block = Matrix::Identity(m, m);
  u1.triangularView<Eigen::Upper>().transpose().solveInPlace(block);
  Matrix column = factors.topRightCorner(m, 1);
  u1.triangularView<Eigen::Upper>().solveInPlace(column);
  c.topLeftCorner(m, m) = factors(m, m) * block;
  c.bottomLeftCorner(1, m) = -column.transpose();
  c(m, m) = 1;
  c *= rest;
  const Matrix lower = factors;
  lower.triangularView<Eigen::UnitLower>().transpose().solveInPlace(c);
  return lu.permutationP().inverse() * c * lu.permutationQ().inverse();
}
}  // namespace

RETORT_CPU_KERNEL(det_cofactor) {
  const Tensor &a = call.in[0], &y = call.out[0];
  const std::int64_t n = a.size(-1);
  if (a.numel() == 0) return;
  const Matrices from(a), to(y);
  for_each_matrix(a.numel() / (n * n), 2 * n * n * n, [&](std::int64_t i) { to.set(i, cofactors(from[i])); });
}

}  // namespace retort
