// tensor/cpu/matrix_exp.cpp -- CPU kernel of the matrix exponential: scaling, Pade's approximant, squaring.
#include <array>
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

namespace {

constexpr int kDegree = 13;
constexpr double kRadius = 5.371920351148152;  ///< 1-norm up to which degree 13 is exact to f64 rounding (Higham 2005)

/// e^a for |a| <= kRadius: (v - u)^-1 (v + u) with u and v the odd and even terms of the numerator.
template <class T>
cpu::Matrix<T> pade(const cpu::Matrix<T>& a) {
  using M = cpu::Matrix<T>;
  std::array<T, kDegree + 1> c;
  double term = 1;
  for (int k = 0; k <= kDegree; ++k) {
    if (k > 0) term *= static_cast<double>(kDegree - k + 1) / (k * (2 * kDegree - k + 1));
    c[static_cast<std::size_t>(k)] = static_cast<T>(term);
  }
  const M one = M::Identity(a.rows(), a.rows()), a2 = a * a, a4 = a2 * a2, a6 = a4 * a2;
  const M high_odd = c[13] * a6 + c[11] * a4 + c[9] * a2, high_even = c[12] * a6 + c[10] * a4 + c[8] * a2;
  const M odd = a6 * high_odd + c[7] * a6 + c[5] * a4 + c[3] * a2 + c[1] * one;
  const M u = a * odd, v = a6 * high_even + c[6] * a6 + c[4] * a4 + c[2] * a2 + c[0] * one;
  return Eigen::PartialPivLU<M>(v - u).solve(v + u);
}

template <class T>
cpu::Matrix<T> exponential(const cpu::Matrix<T>& a) {
  const double norm = static_cast<double>(a.cwiseAbs().colwise().sum().maxCoeff());
  if (!std::isfinite(norm) || !a.allFinite())
    return cpu::Matrix<T>::Constant(a.rows(), a.rows(), std::numeric_limits<T>::quiet_NaN());
  const int halvings = norm > kRadius ? static_cast<int>(std::ceil(std::log2(norm / kRadius))) : 0;
  cpu::Matrix<T> y = pade<T>(a * static_cast<T>(std::ldexp(1.0, -halvings)));
  for (int i = 0; i < halvings; ++i) y = (y * y).eval();
  return y;
}

}  // namespace

RETORT_CPU_KERNEL(matrix_exp) {
  const Tensor &a = call.in[0], &y = call.out[0];
  const std::int64_t n = a.size(-1);
  if (a.numel() == 0) return;
  cpu::visit_f32_f64(a.dtype(), [&]<class T>(T) {
    const cpu::Matrices<T> from(a), to(y);
    cpu::for_each_matrix(a.numel() / (n * n), 16 * n * n * n, [&](std::int64_t i) { to[i] = exponential<T>(from[i]); });
  });
}

}  // namespace retort

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
