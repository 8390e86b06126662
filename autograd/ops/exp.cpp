// autograd/ops/exp.cpp -- exp(x) = e^x. d/dx = exp(x).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Exp : Elementwise<Exp> {
  static constexpr std::string_view name = "exp";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return y; }
};
REGISTER_OP(Exp);
}  // namespace

Tensor exp(const Tensor& x) { return apply<Exp>(x); }

}  // namespace retort
