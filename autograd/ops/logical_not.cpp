// autograd/ops/logical_not.cpp -- logical_not(x), bool.
#include "autograd/rule.h"

namespace retort {

namespace {
struct LogicalNot : NonDifferentiable<LogicalNot> {
  static constexpr std::string_view name = "logical_not";
  static void infer(InferCall& call) { infer::logical(call); }
};
REGISTER_OP(LogicalNot);
}  // namespace

Tensor logical_not(const Tensor& x) { return apply<LogicalNot>(x); }

}  // namespace retort
