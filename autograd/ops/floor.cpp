// autograd/ops/floor.cpp -- floor(x), the largest whole number not above x. Its derivative is 0 everywhere.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Floor : NonDifferentiable<Floor> {
  static constexpr std::string_view name = "floor";
  static void infer(InferCall& call) { infer::elementwise(call); }
};
REGISTER_OP(Floor);
}  // namespace

Tensor floor(const Tensor& x) { return apply<Floor>(x); }

}  // namespace retort
