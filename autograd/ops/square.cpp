// autograd/ops/square.cpp -- square(x) = x^2. d/dx = 2 x.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Square : Elementwise<Square> {
  static constexpr std::string_view name = "square";
  static Tensor derivative(const Tensor& x) { return x * 2.0; }
};
REGISTER_OP(Square);
}  // namespace

Tensor square(const Tensor& x) { return apply<Square>(x); }

}  // namespace retort
