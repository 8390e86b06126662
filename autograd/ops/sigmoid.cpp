// autograd/ops/sigmoid.cpp -- sigmoid(x) = 1 / (1 + e^-x). d/dx = sigmoid(x) (1 - sigmoid(x)).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct SigmoidBackward : SlopeProduct<SigmoidBackward> {
  static constexpr std::string_view name = "sigmoid_backward";
  static Tensor slope(const Tensor& y) { return mul(y, 1.0 - y); }
  static Tensor curvature(const Tensor& y) { return 1.0 - y * 2.0; }
};
REGISTER_OP(SigmoidBackward);

struct Sigmoid : Elementwise<Sigmoid> {
  static constexpr std::string_view name = "sigmoid";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return SigmoidBackward::slope(y); }
  static Tensor pull(const Tensor& cot, const Tensor& y) { return apply<SigmoidBackward>(cot, y); }
};
REGISTER_OP(Sigmoid);
}  // namespace

Tensor sigmoid(const Tensor& x) { return apply<Sigmoid>(x); }

}  // namespace retort
