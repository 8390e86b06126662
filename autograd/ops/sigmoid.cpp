// autograd/ops/sigmoid.cpp -- sigmoid(x) = 1 / (1 + e^-x). d/dx = sigmoid(x) (1 - sigmoid(x)).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Sigmoid : Elementwise<Sigmoid> {
  static constexpr std::string_view name = "sigmoid";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return mul(y, 1.0 - y); }
};
REGISTER_OP(Sigmoid);
}  // namespace

Tensor sigmoid(const Tensor& x) { return apply<Sigmoid>(x); }

}  // namespace retort
