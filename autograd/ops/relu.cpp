// autograd/ops/relu.cpp -- relu(x) = max(x, 0). d/dx = 1 for x > 0, else 0 (also at 0).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct ReluBackward : SlopeProduct<ReluBackward> {
  static constexpr std::string_view name = "relu_backward";
  static Tensor slope(const Tensor& y) { return sign(y); }
  static Tensor curvature(const Tensor& y) { return scalar_like(y, 0.0); }
};
REGISTER_OP(ReluBackward);

struct Relu : Elementwise<Relu> {
  static constexpr std::string_view name = "relu";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return sign(y); }
  static Tensor pull(const Tensor& cot, const Tensor& y) { return apply<ReluBackward>(cot, y); }
};
REGISTER_OP(Relu);
}  // namespace

Tensor relu(const Tensor& x) { return apply<Relu>(x); }

}  // namespace retort
