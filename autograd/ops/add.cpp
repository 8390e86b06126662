// autograd/ops/add.cpp -- add(a, b) = a + b, broadcasting, any float or integer dtype.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Add : Linear<Add> {
  static constexpr std::string_view name = "add";
  static constexpr bool broadcasts = true;
  static void infer(InferCall& call) { infer::arithmetic(call); }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall&) { return cot; }
};
REGISTER_OP(Add);
}  // namespace

Tensor add(const Tensor& a, const Tensor& b) { return apply<Add>(a, b); }

}  // namespace retort
