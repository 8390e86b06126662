// autograd/ops/sign.cpp -- sign(x) = -1, 0 or 1 with the dtype of x. Its derivative is 0 everywhere.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Sign : NonDifferentiable<Sign> {
  static constexpr std::string_view name = "sign";
  static void infer(InferCall& call) { infer::elementwise(call); }
};
REGISTER_OP(Sign);
}  // namespace

Tensor sign(const Tensor& x) { return apply<Sign>(x); }

}  // namespace retort
