// autograd/ops/leaky_relu.cpp -- leaky_relu(x, slope) = x for x > 0, else slope x. d/dx = 1 or slope (at 0: slope).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct LeakyRelu : Elementwise<LeakyRelu> {
  static constexpr std::string_view name = "leaky_relu";
  static Tensor derivative(const Tensor& x, const AttrBox& attrs) {
    return where(less(scalar_like(x, 0.0), x), scalar_like(x, 1.0), scalar_like(x, attrs.as<double>()));
  }
};
REGISTER_OP(LeakyRelu);
}  // namespace

Tensor leaky_relu(const Tensor& x, double slope) { return apply_with<LeakyRelu>(AttrBox::of(slope), x); }

}  // namespace retort
