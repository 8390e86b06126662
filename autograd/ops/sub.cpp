// autograd/ops/sub.cpp -- sub(a, b) = a - b, broadcasting, any float or integer dtype.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Sub : Linear<Sub> {
  static constexpr std::string_view name = "sub";
  static constexpr bool broadcasts = true;
  static void infer(InferCall& call) { infer::arithmetic(call); }
  static Tensor transpose(std::size_t i, const Tensor& cot, const VjpCall&) { return i == 0 ? cot : neg(cot); }
};
REGISTER_OP(Sub);
}  // namespace

Tensor sub(const Tensor& a, const Tensor& b) { return apply<Sub>(a, b); }

}  // namespace retort
