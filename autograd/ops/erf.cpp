// autograd/ops/erf.cpp -- erf(x) = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x. d/dx = 2 / sqrt(pi)
// e^(-x^2).
#include <numbers>

#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Erf : Elementwise<Erf> {
  static constexpr std::string_view name = "erf";
  static Tensor derivative(const Tensor& x) { return exp(neg(square(x))) * (2.0 * std::numbers::inv_sqrtpi); }
};
REGISTER_OP(Erf);
}  // namespace

Tensor erf(const Tensor& x) { return apply<Erf>(x); }

}  // namespace retort
