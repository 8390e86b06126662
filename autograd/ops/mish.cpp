// autograd/ops/mish.cpp -- mish(x) = x tanh(softplus(x)) (Misra 2020). d/dx = t + x (1 - t^2) sigmoid(x),
// t = tanh(softplus(x)).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Mish : Elementwise<Mish> {
  static constexpr std::string_view name = "mish";
  static Tensor derivative(const Tensor& x) {
    const Tensor t = tanh(softplus(x));
    return t + x * (1.0 - square(t)) * sigmoid(x);
  }
};
REGISTER_OP(Mish);
}  // namespace

Tensor mish(const Tensor& x) { return apply<Mish>(x); }

}  // namespace retort
