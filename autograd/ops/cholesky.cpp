// autograd/ops/cholesky.cpp -- L L^T = A. With Phi(X) the lower triangle of X, its diagonal halved (Murray 2016):
// dL = L Phi(L^-1 dA L^-T), and the cotangent of A is the symmetric part of L^-T Phi(L^T cot) L^-1.
#include "autograd/ops/linalg_checks.h"

namespace retort {

namespace {
struct Cholesky : General<Cholesky> {
  static constexpr std::string_view name = "cholesky";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype());
  }
  static Tensor phi(const Tensor& x) { return triangle(x, false, 0.5); }
  static void vjp(VjpCall& c) {
    const Tensor& l = c.out[0];
    const Tensor half = triangular_solve(l, phi(matmul(l, c.cot[0], true)), false, true);
    c.grad[0] = symmetric_part(triangular_solve(l, matrix_transpose(half), false, true));
  }
  static void jvp(JvpCall& c) {
    const Tensor& l = c.out[0];
    const Tensor half = triangular_solve(l, symmetric_part(c.tangent[0]));
    c.out_tangent[0] = matmul(l, phi(triangular_solve(l, matrix_transpose(half))));
  }
};
REGISTER_OP(Cholesky);
}  // namespace

Tensor cholesky(const Tensor& a) { return apply<Cholesky>(a); }

}  // namespace retort
