// autograd/ops/gelu_tanh.cpp -- gelu_tanh(x) = x (1 + tanh u) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3).
// d/dx = (1 + t) / 2 + x (1 - t^2) u' / 2 with t = tanh u.
#include <numbers>

#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
/// (1 - t^2) (u' + x u'' / 2 - x t u'^2) is its derivative.
struct GeluTanhSlope : Elementwise<GeluTanhSlope> {
  static constexpr std::string_view name = "gelu_tanh_slope";
  static Tensor derivative(const Tensor& x) {
    constexpr double kScale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi, kCubic = 0.044715;
    const Tensor x2 = square(x);
    const Tensor t = tanh(mul(x, x2 * (kScale * kCubic) + kScale));
    const Tensor slope = x2 * (3 * kScale * kCubic) + kScale, half_curvature = x2 * (3 * kScale * kCubic);
    return mul(1.0 - square(t), add(slope, half_curvature) - mul(mul(x, t), square(slope)));
  }
};
REGISTER_OP(GeluTanhSlope);

struct GeluTanhBackward : SlopeProduct<GeluTanhBackward> {
  static constexpr std::string_view name = "gelu_tanh_backward";
  static Tensor slope(const Tensor& x) { return apply<GeluTanhSlope>(x); }
  static Tensor curvature(const Tensor& x) { return GeluTanhSlope::derivative(x); }
};
REGISTER_OP(GeluTanhBackward);

struct GeluTanh : Elementwise<GeluTanh> {
  static constexpr std::string_view name = "gelu_tanh";
  static Tensor derivative(const Tensor& x) { return apply<GeluTanhSlope>(x); }
  static Tensor pull(const Tensor& cot, const Tensor& x) { return apply<GeluTanhBackward>(cot, x); }
};
REGISTER_OP(GeluTanh);
}  // namespace

Tensor gelu_tanh(const Tensor& x) { return apply<GeluTanh>(x); }

}  // namespace retort
