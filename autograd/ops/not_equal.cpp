// autograd/ops/not_equal.cpp -- not_equal(a, b): a != b per element, bool.
#include "autograd/rule.h"

namespace retort {

namespace {
struct NotEqual : NonDifferentiable<NotEqual> {
  static constexpr std::string_view name = "not_equal";
  static void infer(InferCall& call) { infer::comparison(call); }
};
REGISTER_OP(NotEqual);
}  // namespace

Tensor not_equal(const Tensor& a, const Tensor& b) { return apply<NotEqual>(a, b); }

}  // namespace retort
