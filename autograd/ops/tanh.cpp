// autograd/ops/tanh.cpp -- tanh(x). d/dx = 1 - tanh(x)^2.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct TanhBackward : SlopeProduct<TanhBackward> {
  static constexpr std::string_view name = "tanh_backward";
  static Tensor slope(const Tensor& y) { return 1.0 - square(y); }
  static Tensor curvature(const Tensor& y) { return y * -2.0; }
};
REGISTER_OP(TanhBackward);

struct Tanh : Elementwise<Tanh> {
  static constexpr std::string_view name = "tanh";
  static constexpr bool uses_input = false;
  static Tensor derivative_at(const Tensor&, const Tensor& y) { return TanhBackward::slope(y); }
  static Tensor pull(const Tensor& cot, const Tensor& y) { return apply<TanhBackward>(cot, y); }
};
REGISTER_OP(Tanh);
}  // namespace

Tensor tanh(const Tensor& x) { return apply<Tanh>(x); }

}  // namespace retort
