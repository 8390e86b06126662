// autograd/ops/expm1.cpp -- expm1(x) = e^x - 1, accurate near 0. d/dx = expm1(x) + 1.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Expm1 : Elementwise<Expm1> {
  static constexpr std::string_view name = "expm1";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return y + 1.0; }
};
REGISTER_OP(Expm1);
}  // namespace

Tensor expm1(const Tensor& x) { return apply<Expm1>(x); }

}  // namespace retort
