// autograd/ops/lu.cpp -- P A = L U. With M = L^-1 P dA U^-1: dL = L strict-lower(M), dU = upper(M) U.
#include "autograd/ops/determinant.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg_checks.h"

namespace retort {

namespace {
struct LuOp : General<LuOp> {
  static constexpr std::string_view name = "lu";
  static constexpr int outputs = 3;
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 7, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    const Tensor& a = call.in[0];
    call.output(a.shape(), a.dtype());
    call.output(a.shape(), a.dtype());
    call.output(infer::with_last(a.shape(), {a.size(-1)}), DType::i64);
  }
  static Tensor row_index(const Tensor& permutation, const Shape& shape) {
    return broadcast_to(as_column(permutation), shape);
  }
  static void vjp(VjpCall& c) {
    const Tensor &l = c.out[0], &u = c.out[1], index = row_index(c.out[2], u.shape());
    const Tensor inner =
        triangle(matmul(l, c.cot[0], true), false, 0) + triangle(matmul(c.cot[1], u, false, true), true);
    const Tensor left = triangular_solve(l, inner, false, true);
    const Tensor rows = matrix_transpose(triangular_solve(u, matrix_transpose(left), true));
    c.grad[0] = scatter_add(rows, -2, index, u.size(-1));
  }
  static void jvp(JvpCall& c) {
    const Tensor &l = c.out[0], &u = c.out[1], index = row_index(c.out[2], u.shape());
    const Tensor left = triangular_solve(l, gather(c.tangent[0], -2, index));
    const Tensor m = matrix_transpose(triangular_solve(u, matrix_transpose(left), true, true));
    c.out_tangent[0] = matmul(l, triangle(m, false, 0));
    c.out_tangent[1] = matmul(triangle(m, true), u);
  }
};
REGISTER_OP(LuOp);
}  // namespace

Lu lu(const Tensor& a) {
  Tensor out[3];
  apply(op_of<LuOp>(), std::span(&a, 1), {}, out);
  return {out[0], out[1], out[2]};
}

}  // namespace retort
