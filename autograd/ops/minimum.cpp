// autograd/ops/minimum.cpp -- minimum(a, b), the smaller of two values, broadcasting, any float or integer dtype.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Minimum : Elementwise<Minimum> {
  static constexpr std::string_view name = "minimum";
  static void infer(InferCall& call) { infer::arithmetic(call); }
  /// 1 for the operand chosen, 0 for the other, 1/2 each at a tie.
  static Tensor partial(int i, const Tensor& a, const Tensor& b) { return sign(i == 0 ? b - a : a - b) * 0.5 + 0.5; }
};
REGISTER_OP(Minimum);
}  // namespace

Tensor minimum(const Tensor& a, const Tensor& b) { return apply<Minimum>(a, b); }

}  // namespace retort
