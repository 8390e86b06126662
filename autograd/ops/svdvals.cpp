// autograd/ops/svdvals.cpp -- singular values: dS = diag(U^T dA V), without the gaps that the vectors' derivatives
// need.
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct SvdVals : General<SvdVals> {
  static constexpr std::string_view name = "svdvals";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_matrix(call, 0);
    const Tensor& a = call.in[0];
    call.output(infer::with_last(a.shape(), {std::min(a.size(-2), a.size(-1))}), a.dtype());
  }
  static void vjp(VjpCall& c) {
    const Svd d = svd(c.in[0]);
    c.grad[0] = matmul(d.u * as_row(c.cot[0]), d.vh);
  }
  static void jvp(JvpCall& c) {
    const Svd d = svd(c.in[0]);
    c.out_tangent[0] = sum(d.u * matmul(c.tangent[0], d.vh, false, true), {-2});
  }
};
REGISTER_OP(SvdVals);
}  // namespace

Tensor svdvals(const Tensor& a) { return apply<SvdVals>(a); }

}  // namespace retort
