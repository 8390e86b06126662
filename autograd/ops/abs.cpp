// autograd/ops/abs.cpp -- abs(x) = |x|. d/dx = sign(x), 0 at 0.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Abs : Elementwise<Abs> {
  static constexpr std::string_view name = "abs";
  static Tensor derivative(const Tensor& x) { return sign(x); }
};
REGISTER_OP(Abs);
}  // namespace

Tensor abs(const Tensor& x) { return apply<Abs>(x); }

}  // namespace retort
