// autograd/ops/cos.cpp -- cos(x). d/dx = -sin(x).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Cos : Elementwise<Cos> {
  static constexpr std::string_view name = "cos";
  static Tensor derivative(const Tensor& x) { return neg(sin(x)); }
};
REGISTER_OP(Cos);
}  // namespace

Tensor cos(const Tensor& x) { return apply<Cos>(x); }

}  // namespace retort
