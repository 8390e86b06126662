// autograd/ops/svd.cpp -- A = U S V^T. With P = U^T dA V, G_ij = 1 / (s_j^2 - s_i^2) off the diagonal:
// dS = diag P, dU = U (G o (P S + S P^T)) + (1 - U U^T) dA V S^-1, dV = V (G o (S P + P^T S)) + (1 - V V^T) dA^T U
// S^-1.
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct SvdOp : General<SvdOp> {
  static constexpr std::string_view name = "svd";
  static constexpr int outputs = 3;
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 7, 0}; }
  static void infer(InferCall& call) {
    infer::require_matrix(call, 0);
    const Tensor& a = call.in[0];
    const std::int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
    call.output(infer::with_last(a.shape(), {m, k}), a.dtype());
    call.output(infer::with_last(a.shape(), {k}), a.dtype());
    call.output(infer::with_last(a.shape(), {k, n}), a.dtype());
  }
  static void vjp(VjpCall& c) {
    const Tensor &u = c.out[0], &s = c.out[1], &vh = c.out[2];
    const Tensor inner_u = matmul(u, c.cot[0], true), inner_v = matmul(vh, c.cot[2], false, true);
    const Tensor from_u = divide_by_gaps(inner_u - matrix_transpose(inner_u), s, 2) * as_row(s);
    const Tensor from_v = divide_by_gaps(inner_v - matrix_transpose(inner_v), s, 2) * as_column(s);
    Tensor left = matmul(u, from_u + from_v) + u * as_row(c.cot[1]);
    // What moves the vectors out of their span exists only on the longer side.
    if (u.size(-2) > s.size(-1)) left = left + (c.cot[0] - matmul(u, inner_u)) / as_row(s);
    c.grad[0] = matmul(left, vh);
    if (vh.size(-1) > s.size(-1)) c.grad[0] = c.grad[0] + matmul(u / as_row(s), c.cot[2] - matmul(inner_v, vh, true));
  }
  static void jvp(JvpCall& c) {
    const Tensor &u = c.out[0], &s = c.out[1], &vh = c.out[2], &da = c.tangent[0];
    const Tensor da_v = matmul(da, vh, false, true), ut_da = matmul(u, da, true);
    const Tensor p = matmul(u, da_v, true), pt = matrix_transpose(p);
    Tensor du = matmul(u, divide_by_gaps(p * as_row(s) + pt * as_column(s), s, 2));
    Tensor dvh = matmul(divide_by_gaps(p * as_column(s) + pt * as_row(s), s, 2), vh, true);
    if (u.size(-2) > s.size(-1)) du = du + (da_v - matmul(u, p)) / as_row(s);
    if (vh.size(-1) > s.size(-1)) dvh = dvh + (ut_da - matmul(p, vh)) / as_column(s);
    c.out_tangent[0] = du;
    c.out_tangent[1] = sum(u * da_v, {-2});
    c.out_tangent[2] = dvh;
  }
};
REGISTER_OP(SvdOp);
}  // namespace

Svd svd(const Tensor& a) {
  Tensor out[3];
  apply(op_of<SvdOp>(), std::span(&a, 1), {}, out);
  return {out[0], out[1], out[2]};
}

}  // namespace retort
