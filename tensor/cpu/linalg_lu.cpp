// tensor/cpu/linalg_lu.cpp -- CPU kernels of LU factors, determinants and cofactors, matrix by matrix.
#include <cmath>
#include <limits>

#include "tensor/cpu/matrices.h"
#include "tensor/primitive.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // as in tensor/cpu/eigen.h
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/LU>

namespace retort {

using cpu::for_each_matrix;
using cpu::Matrices;
using cpu::Matrix;
using cpu::visit_f32_f64;

RETORT_CPU_KERNEL(lu) {
  const Tensor &a = call.in[0], &l = call.out[0], &u = call.out[1], &permutation = call.out[2];
  const std::int64_t n = a.size(-1);
  if (a.numel() == 0) return;
  std::int64_t* places = permutation.mutable_data<std::int64_t>();
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a), to_l(l), to_u(u);
    for_each_matrix(a.numel() / (n * n), n * n * n, [&](std::int64_t i) {
      const Eigen::PartialPivLU<Matrix<T>> lu(from[i]);
      to_l[i] = lu.matrixLU().template triangularView<Eigen::UnitLower>();
      to_u[i] = lu.matrixLU().template triangularView<Eigen::Upper>();
      // Eigen's permutation says where each row goes.
      for (Eigen::Index row = 0; row < n; ++row) places[i * n + lu.permutationP().indices()[row]] = row;
    });
  });
}

RETORT_CPU_KERNEL(det) {
  const Tensor &a = call.in[0], &y = call.out[0];
  const std::int64_t n = a.size(-1);
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a);
    T* to = y.mutable_data<T>();
    for_each_matrix(y.numel(), n * n * n, [&](std::int64_t i) {
      to[i] = n == 0 ? T(1) : Eigen::PartialPivLU<Matrix<T>>(from[i]).determinant();
    });
  });
}

RETORT_CPU_KERNEL(slogdet) {
  const Tensor &a = call.in[0], &sign = call.out[0], &logabs = call.out[1];
  const std::int64_t n = a.size(-1);
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a);
    T *signs = sign.mutable_data<T>(), *logs = logabs.mutable_data<T>();
    for_each_matrix(sign.numel(), n * n * n, [&](std::int64_t i) {
      signs[i] = 1;
      logs[i] = 0;
      if (n == 0) return;
      const Eigen::PartialPivLU<Matrix<T>> lu(from[i]);
      signs[i] = static_cast<T>(lu.permutationP().determinant());
      for (Eigen::Index j = 0; j < n; ++j) {
        const T pivot = lu.matrixLU()(j, j);
        signs[i] *= pivot > 0 ? T(1) : pivot < 0 ? T(-1) : pivot;  // 0 and NaN stay what they are
        logs[i] += std::log(std::abs(pivot));
      }
    });
  });
}

namespace {
/// Cofactors of A = P^-1 L U Q^-1 (complete pivoting) as the product of the factors' cofactors, which are polynomials
/// in the last pivot d: for U = [U1 u; 0 d] they are det(U1) [d U1^-T, 0; -(U1^-1 u)^T, 1]. When U1 is singular too,
/// all minors of A vanish.
template <class T>
Matrix<T> cofactors(const Matrix<T>& a) {
  const Eigen::Index n = a.rows(), m = n - 1;
  const Eigen::FullPivLU<Matrix<T>> lu(a);
  const auto& factors = lu.matrixLU();
  Matrix<T> c = Matrix<T>::Zero(n, n);
  T rest = static_cast<T>(lu.permutationP().determinant() * lu.permutationQ().determinant());
  for (Eigen::Index i = 0; i < m; ++i) rest *= factors(i, i);
  if (rest == 0) return c;
  const Matrix<T> u1 = factors.topLeftCorner(m, m);
  Matrix<T> block = Matrix<T>::Identity(m, m);
  u1.template triangularView<Eigen::Upper>().transpose().solveInPlace(block);
  Matrix<T> column = factors.topRightCorner(m, 1);
  u1.template triangularView<Eigen::Upper>().solveInPlace(column);
  c.topLeftCorner(m, m) = factors(m, m) * block;
  c.bottomLeftCorner(1, m) = -column.transpose();
  c(m, m) = 1;
  c *= rest;
  const Matrix<T> lower = factors;
  lower.template triangularView<Eigen::UnitLower>().transpose().solveInPlace(c);
  return lu.permutationP().inverse() * c * lu.permutationQ().inverse();
}
}  // namespace

RETORT_CPU_KERNEL(det_cofactor) {
  const Tensor &a = call.in[0], &y = call.out[0];
  const std::int64_t n = a.size(-1);
  if (a.numel() == 0) return;
  visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const Matrices<T> from(a), to(y);
    for_each_matrix(a.numel() / (n * n), 2 * n * n * n, [&](std::int64_t i) { to[i] = cofactors<T>(from[i]); });
  });
}

}  // namespace retort

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
