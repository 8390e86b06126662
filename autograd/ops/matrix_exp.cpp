// autograd/ops/matrix_exp.cpp -- e^A. Its derivative L(A, E) along E is a block of an exponential of twice the size;
// the adjoint of L(A, .) is L(A^T, .).
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/matrix_functions.h"

namespace retort {

namespace {
struct MatrixExp : General<MatrixExp> {
  static constexpr std::string_view name = "matrix_exp";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype());
  }
  static Tensor derivative(const Tensor& a, const Tensor& along) {
    const std::int64_t n = a.size(-1);
    const Tensor zero = Tensor::zeros(a.shape(), a.dtype(), a.device());
    const Tensor top = concat(std::array{a, along}, -1), bottom = concat(std::array{zero, a}, -1);
    return slice(slice(matrix_exp(concat(std::array{top, bottom}, -2)), -2, 0, n), -1, n);
  }
  static void vjp(VjpCall& c) { c.grad[0] = derivative(matrix_transpose(c.in[0]), c.cot[0]); }
  static void jvp(JvpCall& c) { c.out_tangent[0] = derivative(c.in[0], c.tangent[0]); }
};
REGISTER_OP(MatrixExp);
}  // namespace

Tensor matrix_exp(const Tensor& a) { return apply<MatrixExp>(a); }

}  // namespace retort
