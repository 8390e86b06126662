// autograd/ops/orthogonal.cpp -- orthonormal columns from reflections: H_1 .. H_n = I - V T V^T, where T^-1 is the
// upper triangle of V^T V with half its diagonal.
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/matrix_functions.h"

namespace retort {

Tensor orthogonal(const Tensor& x) {
  if (x.rank() < 2 || x.size(-2) < x.size(-1))
    throw ShapeError("orthogonal: needs matrices with at least as many rows as columns; got {}", x.str());
  const std::int64_t m = x.size(-2), n = x.size(-1);
  const Tensor first = triangle(triangle(Tensor::full({m, n}, 1.0, x.dtype(), x.device())), true);
  const Tensor v = triangle(x, false, 0) + first;
  const Tensor inverse_t = triangle(matmul(v, v, true), true, 0.5);
  const Tensor top = slice(v, -2, 0, n);
  return matmul(v, triangular_solve(inverse_t, matrix_transpose(top), true)) - first;
}

}  // namespace retort
