// autograd/ops/round.cpp -- round(x), to the nearest whole number, halves to even. Its derivative is 0 everywhere.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Round : NonDifferentiable<Round> {
  static constexpr std::string_view name = "round";
  static void infer(InferCall& call) { infer::elementwise(call); }
};
REGISTER_OP(Round);
}  // namespace

Tensor round(const Tensor& x) { return apply<Round>(x); }

}  // namespace retort
