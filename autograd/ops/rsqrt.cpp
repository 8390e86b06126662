// autograd/ops/rsqrt.cpp -- rsqrt(x) = x^(-1/2). d/dx = -rsqrt(x)^3 / 2.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Rsqrt : Elementwise<Rsqrt> {
  static constexpr std::string_view name = "rsqrt";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return mul(square(y), y) * -0.5; }
};
REGISTER_OP(Rsqrt);
}  // namespace

Tensor rsqrt(const Tensor& x) { return apply<Rsqrt>(x); }

}  // namespace retort
