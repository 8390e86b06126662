// autograd/ops/logabsdet.cpp -- log |det A|; its derivative along dA is tr(A^-1 dA).
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct LogAbsDet : General<LogAbsDet> {
  static constexpr std::string_view name = "logabsdet";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    call.output(infer::with_last(call.in[0].shape(), {}), call.in[0].dtype());
  }
  static void vjp(VjpCall& c) { c.grad[0] = as_column(as_column(c.cot[0])) * matrix_transpose(inverse(c.in[0])); }
  static void jvp(JvpCall& c) { c.out_tangent[0] = sum(matrix_transpose(inverse(c.in[0])) * c.tangent[0], {-2, -1}); }
};
REGISTER_OP(LogAbsDet);
}  // namespace

Tensor logabsdet(const Tensor& a) { return apply<LogAbsDet>(a); }

}  // namespace retort
