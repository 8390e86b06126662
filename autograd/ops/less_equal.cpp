// autograd/ops/less_equal.cpp -- less_equal(a, b): a <= b per element, bool; false when either is NaN.
#include "autograd/rule.h"

namespace retort {

namespace {
struct LessEqual : NonDifferentiable<LessEqual> {
  static constexpr std::string_view name = "less_equal";
  static void infer(InferCall& call) { infer::comparison(call); }
};
REGISTER_OP(LessEqual);
}  // namespace

Tensor less_equal(const Tensor& a, const Tensor& b) { return apply<LessEqual>(a, b); }

}  // namespace retort
