// autograd/ops/qr.cpp -- A = Q R. With W = Q^T dA R^-1 split into a skew part K, K below the diagonal as W, and an
// upper triangular rest: dR = (W - K) R, dQ = dA R^-1 - Q (W - K).
#include "autograd/ops/linalg_checks.h"

namespace retort {

namespace {
struct QrOp : General<QrOp> {
  static constexpr std::string_view name = "qr";
  static constexpr int outputs = 2;
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 3, 0}; }
  static void infer(InferCall& call) {
    infer::require_matrix(call, 0);
    const Tensor& a = call.in[0];
    const std::int64_t m = a.size(-2), n = a.size(-1);
    if (m < n)
      throw ShapeError("qr: at least as many rows as columns are wanted; got {}; hint: decompose the transpose",
                       a.str());
    call.output(a.shape(), a.dtype());
    call.output(infer::with_last(a.shape(), {n, n}), a.dtype());
  }
  /// x R^-1
  static Tensor divided(const Tensor& x, const Tensor& r) {
    return matrix_transpose(triangular_solve(r, matrix_transpose(x), true, true));
  }
  static void vjp(VjpCall& c) {
    const Tensor &q = c.out[0], &r = c.out[1];
    const Tensor m = matmul(r, c.cot[1], false, true) - matmul(c.cot[0], q, true);
    const Tensor mirrored = triangle(m) + matrix_transpose(triangle(m, false, 0));
    const Tensor y = c.cot[0] + matmul(q, mirrored);
    c.grad[0] = matrix_transpose(triangular_solve(r, matrix_transpose(y), true));
  }
  static void jvp(JvpCall& c) {
    const Tensor &q = c.out[0], &r = c.out[1];
    const Tensor moved = divided(c.tangent[0], r), w = matmul(q, moved, true);
    const Tensor below = triangle(w, false, 0), rest = w - below + matrix_transpose(below);
    c.out_tangent[0] = moved - matmul(q, rest);
    c.out_tangent[1] = matmul(rest, r);
  }
};
REGISTER_OP(QrOp);
}  // namespace

Qr qr(const Tensor& a) {
  Tensor out[2];
  apply(op_of<QrOp>(), std::span(&a, 1), {}, out);
  return {out[0], out[1]};
}

}  // namespace retort
