// autograd/ops/div.cpp -- div(a, b) = a / b per element, broadcasting, float dtypes.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Div : Elementwise<Div> {
  static constexpr std::string_view name = "div";
  static Tensor partial(int i, const Tensor& a, const Tensor& b) { return i == 0 ? 1.0 / b : neg(div(a, mul(b, b))); }
};
REGISTER_OP(Div);
}  // namespace

Tensor div(const Tensor& a, const Tensor& b) { return apply<Div>(a, b); }

}  // namespace retort
