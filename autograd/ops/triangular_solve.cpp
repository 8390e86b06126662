// autograd/ops/triangular_solve.cpp -- op(A) X = B with A triangular: dX = op(A)^-1 (dB - op(dA) X).
#include "autograd/ops/linalg_checks.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct TriangularSolve : General<TriangularSolve> {
  static constexpr std::string_view name = "triangular_solve";
  static constexpr bool broadcasts = true;
  static Saves saves(std::uint32_t tracked, const AttrBox&) { return {1, tracked & 1u, 0}; }
  static void infer(InferCall& call) { call.output(infer::solution(call), call.in[0].dtype()); }
  static void vjp(VjpCall& c) {
    const auto& t = c.attrs.as<TriangularSolveAttrs>();
    const Tensor g = triangular_solve(c.in[0], c.cot[0], t.upper, !t.transpose);
    if (c.wants[1]) c.grad[1] = g;
    if (!c.wants[0]) return;
    const Tensor product = t.transpose ? matmul(c.out[0], g, false, true) : matmul(g, c.out[0], false, true);
    c.grad[0] = -triangle(product, t.upper);
  }
  static void jvp(JvpCall& c) {
    const auto& t = c.attrs.as<TriangularSolveAttrs>();
    Tensor right = c.tangent[1];
    if (c.tangent[0].defined()) {
      const Tensor moved = matmul(triangle(c.tangent[0], t.upper), c.out[0], t.transpose);
      right = right.defined() ? right - moved : -moved;
    }
    c.out_tangent[0] = triangular_solve(c.in[0], right, t.upper, t.transpose);
  }
};
REGISTER_OP(TriangularSolve);
}  // namespace

Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper, bool transpose) {
  return apply_with<TriangularSolve>(AttrBox::of(TriangularSolveAttrs{upper, transpose}), a, b);
}

}  // namespace retort
