// tests/distill/diffusion/quadrature.h -- expectations over two independent standard normals, exact for polynomials.
#pragma once
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort::testing {

/// Nodes (z, eps) [n n, 1] and weights [n n, 1] of the Gauss-Hermite product rule for N(0, 1) x N(0, 1) (Golub and
/// Welsch 1969: eigenvalues of the Jacobi matrix).
struct NormalPairs {
  Tensor z, eps, weight;
  explicit NormalPairs(std::int64_t n) {
    std::vector<double> jacobi(static_cast<std::size_t>(n * n), 0.);
    for (std::int64_t i = 0; i + 1 < n; ++i)
      jacobi[static_cast<std::size_t>(i * n + i + 1)] = jacobi[static_cast<std::size_t>((i + 1) * n + i)] =
          std::sqrt(static_cast<double>(i + 1));
    const Eigh axes = eigh(Tensor::from(jacobi, {n, n}, DType::f64));
    const Tensor w = square(slice(axes.vectors, 0, 0, 1));  // [1, n]
    const Tensor ones = Tensor::full({n, n}, 1, DType::f64);
    z = reshape(ones * reshape(axes.values, {n, 1}), {n * n, 1});
    eps = reshape(ones * reshape(axes.values, {1, n}), {n * n, 1});
    weight = reshape(reshape(w, {n, 1}) * w, {n * n, 1});
  }
  /// E f for the values f [n n, 1].
  Tensor mean(const Tensor& f) const { return sum(weight * f); }
};

}  // namespace retort::testing
