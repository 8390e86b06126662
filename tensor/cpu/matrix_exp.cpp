// tensor/cpu/matrix_exp.cpp -- CPU kernel of the matrix exponential: scaling, Pade's approximant, squaring.
#include <array>
#include <cmath>
#include <limits>

#include "tensor/cpu/matrices.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

constexpr int kDegree = 13;
constexpr double kRadius = 5.371920351148152;  ///< 1-norm up to which degree 13 is exact to f64 rounding (Higham 2005)

/// e^a for |a| <= kRadius: (v - u)^-1 (v + u) with u and v the odd and even terms of the numerator.
cpu::Matrix pade(const cpu::Matrix& a) {
  using M = cpu::Matrix;
  std::array<double, kDegree + 1> c;
  double term = 1;
  for (int k = 0; k <= kDegree; ++k) {
    if (k > 0) term *= static_cast<double>(kDegree - k + 1) / (k * (2 * kDegree - k + 1));
    c[static_cast<std::size_t>(k)] = term;
  }
  const M one = M::Identity(a.rows(), a.rows()), a2 = a * a, a4 = a2 * a2, a6 = a4 * a2;
  const M high_odd = c[13] * a6 + c[11] * a4 + c[9] * a2, high_even = c[12] * a6 + c[10] * a4 + c[8] * a2;
  const M odd = a6 * high_odd + c[7] * a6 + c[5] * a4 + c[3] * a2 + c[1] * one;
  const M u = a * odd, v = a6 * high_even + c[6] * a6 + c[4] * a4 + c[2] * a2 + c[0] * one;
  return Eigen::PartialPivLU<M>(v - u).solve(v + u);
}

cpu::Matrix exponential(const cpu::Matrix& a) {
  const double norm = a.cwiseAbs().colwise().sum().maxCoeff();
  if (!std::isfinite(norm) || !a.allFinite())
    return cpu::Matrix::Constant(a.rows(), a.rows(), std::numeric_limits<double>::quiet_NaN());
  const int halvings = norm > kRadius ? static_cast<int>(std::ceil(std::log2(norm / kRadius))) : 0;
  cpu::Matrix y = pade(a * std::ldexp(1.0, -halvings));
  for (int i = 0; i < halvings; ++i) y = (y * y).eval();
  return y;
}

}  // namespace

RETORT_CPU_KERNEL(matrix_exp) {
  const Tensor &a = call.in[0], &y = call.out[0];
  const std::int64_t n = a.size(-1);
  if (a.numel() == 0) return;
  const cpu::Matrices from(a), to(y);
  cpu::for_each_matrix(a.numel() / (n * n), 16 * n * n * n, [&](std::int64_t i) { to.set(i, exponential(from[i])); });
}

}  // namespace retort
