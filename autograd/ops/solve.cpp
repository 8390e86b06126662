// autograd/ops/solve.cpp -- A X = B: dX = A^-1 (dB - dA X). The inverse is a special right-hand side.
#include "autograd/ops/linalg_checks.h"

namespace retort {

namespace {
struct Solve : General<Solve> {
  static constexpr std::string_view name = "solve";
  static constexpr bool broadcasts = true;
  static Saves saves(std::uint32_t tracked, const AttrBox&) { return {1, tracked & 1u, 0}; }
  static void infer(InferCall& call) { call.output(infer::solution(call), call.in[0].dtype()); }
  static void vjp(VjpCall& c) {
    const Tensor g = solve(matrix_transpose(c.in[0]), c.cot[0]);
    if (c.wants[1]) c.grad[1] = g;
    if (c.wants[0]) c.grad[0] = -matmul(g, c.out[0], false, true);
  }
  static void jvp(JvpCall& c) {
    Tensor right = c.tangent[1];
    if (c.tangent[0].defined()) {
      const Tensor moved = matmul(c.tangent[0], c.out[0]);
      right = right.defined() ? right - moved : -moved;
    }
    c.out_tangent[0] = solve(c.in[0], right);
  }
};
REGISTER_OP(Solve);

Tensor identity_like(const Tensor& a) {
  const std::int64_t n = a.size(-1);
  return triangle(triangle(Tensor::full({n, n}, 1.0, a.dtype(), a.device())), true);
}
}  // namespace

Tensor solve(const Tensor& a, const Tensor& b) { return apply<Solve>(a, b); }

Tensor inverse(const Tensor& a) {
  if (a.rank() < 2) throw ShapeError("inverse: the input must be a matrix or a batch of them; got {}", a.str());
  return solve(a, identity_like(a));
}

}  // namespace retort
