// autograd/ops/less.cpp -- less(a, b): a < b per element, bool; false when either is NaN.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Less : NonDifferentiable<Less> {
  static constexpr std::string_view name = "less";
  static void infer(InferCall& call) { infer::comparison(call); }
};
REGISTER_OP(Less);
}  // namespace

Tensor less(const Tensor& a, const Tensor& b) { return apply<Less>(a, b); }

}  // namespace retort
