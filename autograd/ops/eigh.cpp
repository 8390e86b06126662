// autograd/ops/eigh.cpp -- A = V diag(w) V^T, A symmetric. With P = V^T dA V, G_ij = 1 / (w_j - w_i) off the diagonal:
// dw = diag P, dV = V (G o P).
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct EighOp : General<EighOp> {
  static constexpr std::string_view name = "eigh";
  static constexpr int outputs = 2;
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 3, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    const Tensor& a = call.in[0];
    call.output(infer::with_last(a.shape(), {a.size(-1)}), a.dtype());
    call.output(a.shape(), a.dtype());
  }
  static void vjp(VjpCall& c) {
    const Tensor &w = c.out[0], &v = c.out[1];
    const Tensor inner = matmul(v, c.cot[1], true);
    // The skew part over the gaps is the symmetric part of the whole over the gaps.
    const Tensor turned = divide_by_gaps(inner - matrix_transpose(inner), w) * 0.5;
    c.grad[0] = matmul(matmul(v, turned) + v * as_row(c.cot[0]), v, false, true);
  }
  static void jvp(JvpCall& c) {
    const Tensor &w = c.out[0], &v = c.out[1];
    const Tensor p = matmul(v, matmul(symmetric_part(c.tangent[0]), v), true);
    c.out_tangent[0] = sum(v * matmul(c.tangent[0], v), {-2});
    c.out_tangent[1] = matmul(v, divide_by_gaps(p, w));
  }
};
REGISTER_OP(EighOp);
}  // namespace

Eigh eigh(const Tensor& a) {
  Tensor out[2];
  apply(op_of<EighOp>(), std::span(&a, 1), {}, out);
  return {out[0], out[1]};
}

}  // namespace retort
