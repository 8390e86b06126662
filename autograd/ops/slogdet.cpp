// autograd/ops/slogdet.cpp -- sign and log |det A|; the derivative of the latter along dA is tr(A^-1 dA).
#include "autograd/ops/determinant.h"
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct Slogdet : General<Slogdet> {
  static constexpr std::string_view name = "slogdet";
  static constexpr int outputs = 2;
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    for (int i = 0; i < 2; ++i) call.output(infer::with_last(call.in[0].shape(), {}), call.in[0].dtype());
  }
  static void vjp(VjpCall& c) { c.grad[0] = as_column(as_column(c.cot[1])) * matrix_transpose(inverse(c.in[0])); }
  static void jvp(JvpCall& c) { c.out_tangent[1] = sum(matrix_transpose(inverse(c.in[0])) * c.tangent[0], {-2, -1}); }
};
REGISTER_OP(Slogdet);
}  // namespace

SignLogDet slogdet(const Tensor& a) {
  Tensor out[2];
  apply(op_of<Slogdet>(), std::span(&a, 1), {}, out);
  return {out[0], out[1]};
}

}  // namespace retort
