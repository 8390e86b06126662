// autograd/ops/maximum.cpp -- maximum(a, b), the larger of two values, broadcasting, any float or integer dtype.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Maximum : Elementwise<Maximum> {
  static constexpr std::string_view name = "maximum";
  static void infer(InferCall& call) { infer::arithmetic(call); }
  /// 1 for the operand chosen, 0 for the other, 1/2 each at a tie.
  static Tensor partial(int i, const Tensor& a, const Tensor& b) { return sign(i == 0 ? a - b : b - a) * 0.5 + 0.5; }
};
REGISTER_OP(Maximum);
}  // namespace

Tensor maximum(const Tensor& a, const Tensor& b) { return apply<Maximum>(a, b); }

}  // namespace retort
