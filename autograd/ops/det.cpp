// autograd/ops/det.cpp -- det A; d det = <C, dA> with the cofactors C = det(A) A^-T, whose own derivative along dA is
// <A^-T, dA> C - A^-T dA^T C.
#include "autograd/ops/determinant.h"
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
Tensor per_matrix(const Tensor& scalars) { return as_column(as_column(scalars)); }

struct Det : General<Det> {
  static constexpr std::string_view name = "det";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    call.output(infer::with_last(call.in[0].shape(), {}), call.in[0].dtype());
  }
  static void vjp(VjpCall& c) { c.grad[0] = per_matrix(c.cot[0]) * det_cofactor(c.in[0]); }
  static void jvp(JvpCall& c) { c.out_tangent[0] = sum(det_cofactor(c.in[0]) * c.tangent[0], {-2, -1}); }
};
REGISTER_OP(Det);

struct DetCofactor : General<DetCofactor> {
  static constexpr std::string_view name = "det_cofactor";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype());
  }
  static void vjp(VjpCall& c) {
    const Tensor it = matrix_transpose(inverse(c.in[0])), &cof = c.out[0], &g = c.cot[0];
    c.grad[0] = per_matrix(sum(g * cof, {-2, -1})) * it - matmul(cof, matmul(g, it, true));
  }
  static void jvp(JvpCall& c) {
    const Tensor it = matrix_transpose(inverse(c.in[0])), &cof = c.out[0], &da = c.tangent[0];
    c.out_tangent[0] = per_matrix(sum(it * da, {-2, -1})) * cof - matmul(it, matmul(da, cof, true));
  }
};
REGISTER_OP(DetCofactor);
}  // namespace

Tensor det(const Tensor& a) { return apply<Det>(a); }
Tensor det_cofactor(const Tensor& a) { return apply<DetCofactor>(a); }

}  // namespace retort
