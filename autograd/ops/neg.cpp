// autograd/ops/neg.cpp -- neg(x) = -x, float dtypes.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Neg : Linear<Neg> {
  static constexpr std::string_view name = "neg";
  static void infer(InferCall& call) { infer::elementwise(call); }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall&) { return neg(cot); }
};
REGISTER_OP(Neg);
}  // namespace

Tensor neg(const Tensor& x) { return apply<Neg>(x); }

}  // namespace retort
