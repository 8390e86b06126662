// autograd/ops/equal.cpp -- equal(a, b): a == b per element, bool.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Equal : NonDifferentiable<Equal> {
  static constexpr std::string_view name = "equal";
  static void infer(InferCall& call) { infer::comparison(call); }
};
REGISTER_OP(Equal);
}  // namespace

Tensor equal(const Tensor& a, const Tensor& b) { return apply<Equal>(a, b); }

}  // namespace retort
