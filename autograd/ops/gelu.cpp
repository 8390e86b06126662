// autograd/ops/gelu.cpp -- gelu(x) = x Phi(x), Phi the normal distribution function (erf form). d/dx = Phi(x) + x
// phi(x).
#include <numbers>

#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
/// phi(x) (2 - x^2) is its derivative.
struct GeluSlope : Elementwise<GeluSlope> {
  static constexpr std::string_view name = "gelu_slope";
  static Tensor derivative(const Tensor& x) {
    const Tensor x2 = square(x);
    return mul(exp(x2 * -0.5) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2), 2.0 - x2);
  }
};
REGISTER_OP(GeluSlope);

struct GeluBackward : SlopeProduct<GeluBackward> {
  static constexpr std::string_view name = "gelu_backward";
  static Tensor slope(const Tensor& x) { return apply<GeluSlope>(x); }
  static Tensor curvature(const Tensor& x) { return GeluSlope::derivative(x); }
};
REGISTER_OP(GeluBackward);

struct Gelu : Elementwise<Gelu> {
  static constexpr std::string_view name = "gelu";
  static Tensor derivative(const Tensor& x) { return apply<GeluSlope>(x); }
  static Tensor pull(const Tensor& cot, const Tensor& x) { return apply<GeluBackward>(cot, x); }
};
REGISTER_OP(Gelu);
}  // namespace

Tensor gelu(const Tensor& x) { return apply<Gelu>(x); }

}  // namespace retort
