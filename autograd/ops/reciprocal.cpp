// autograd/ops/reciprocal.cpp -- reciprocal(x) = 1 / x. d/dx = -reciprocal(x)^2.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Reciprocal : Elementwise<Reciprocal> {
  static constexpr std::string_view name = "reciprocal";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return neg(square(y)); }
};
REGISTER_OP(Reciprocal);
}  // namespace

Tensor reciprocal(const Tensor& x) { return apply<Reciprocal>(x); }

}  // namespace retort
