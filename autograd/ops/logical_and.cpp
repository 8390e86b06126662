// autograd/ops/logical_and.cpp -- logical_and(a, b), bool, broadcasting.
#include "autograd/rule.h"

namespace retort {

namespace {
struct LogicalAnd : NonDifferentiable<LogicalAnd> {
  static constexpr std::string_view name = "logical_and";
  static void infer(InferCall& call) { infer::logical(call); }
};
REGISTER_OP(LogicalAnd);
}  // namespace

Tensor logical_and(const Tensor& a, const Tensor& b) { return apply<LogicalAnd>(a, b); }

}  // namespace retort
