// autograd/ops/logical_or.cpp -- logical_or(a, b), bool, broadcasting.
#include "autograd/rule.h"

namespace retort {

namespace {
struct LogicalOr : NonDifferentiable<LogicalOr> {
  static constexpr std::string_view name = "logical_or";
  static void infer(InferCall& call) { infer::logical(call); }
};
REGISTER_OP(LogicalOr);
}  // namespace

Tensor logical_or(const Tensor& a, const Tensor& b) { return apply<LogicalOr>(a, b); }

}  // namespace retort
