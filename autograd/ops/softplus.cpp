// autograd/ops/softplus.cpp -- softplus(x) = log(1 + e^x), without overflow. d/dx = sigmoid(x).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Softplus : Elementwise<Softplus> {
  static constexpr std::string_view name = "softplus";
  static Tensor derivative(const Tensor& x) { return sigmoid(x); }
};
REGISTER_OP(Softplus);
}  // namespace

Tensor softplus(const Tensor& x) { return apply<Softplus>(x); }

}  // namespace retort
