// autograd/ops/eigvalsh.cpp -- eigenvalues of the symmetric part: dw = diag(V^T dA V), without gaps.
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct EigValsh : General<EigValsh> {
  static constexpr std::string_view name = "eigvalsh";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    const Tensor& a = call.in[0];
    call.output(infer::with_last(a.shape(), {a.size(-1)}), a.dtype());
  }
  static void vjp(VjpCall& c) {
    const Tensor v = eigh(c.in[0]).vectors;
    c.grad[0] = matmul(v * as_row(c.cot[0]), v, false, true);
  }
  static void jvp(JvpCall& c) {
    const Tensor v = eigh(c.in[0]).vectors;
    c.out_tangent[0] = sum(v * matmul(c.tangent[0], v), {-2});
  }
};
REGISTER_OP(EigValsh);
}  // namespace

Tensor eigvalsh(const Tensor& a) { return apply<EigValsh>(a); }

}  // namespace retort
