// autograd/ops/sqrt.cpp -- sqrt(x). d/dx = 1 / (2 sqrt(x)), infinite at 0.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Sqrt : Elementwise<Sqrt> {
  static constexpr std::string_view name = "sqrt";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return 0.5 / y; }
};
REGISTER_OP(Sqrt);
}  // namespace

Tensor sqrt(const Tensor& x) { return apply<Sqrt>(x); }

}  // namespace retort
