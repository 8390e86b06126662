// autograd/ops/tanh.cpp -- tanh(x). d/dx = 1 - tanh(x)^2.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Tanh : Elementwise<Tanh> {
  static constexpr std::string_view name = "tanh";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return 1.0 - square(y); }
};
REGISTER_OP(Tanh);
}  // namespace

Tensor tanh(const Tensor& x) { return apply<Tanh>(x); }

}  // namespace retort
