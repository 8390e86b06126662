// autograd/ops/gelu_tanh.cpp -- gelu_tanh(x) = x (1 + tanh(u)) / 2 with u = sqrt(2/pi) (x + 0.044715 x^3).
#include <numbers>

#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct GeluTanh : Elementwise<GeluTanh> {
  static constexpr std::string_view name = "gelu_tanh";
  /// (1 + t) / 2 + x (1 - t^2) u' / 2 with t = tanh(u).
  static Tensor derivative(const Tensor& x) {
    constexpr double kScale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi, kCubic = 0.044715;
    const Tensor x2 = square(x);
    const Tensor t = tanh(mul(x, x2 * (kScale * kCubic) + kScale));
    const Tensor slope = x2 * (3 * kScale * kCubic) + kScale;
    return add(t + 1.0, mul(mul(x, 1.0 - square(t)), slope)) * 0.5;
  }
};
REGISTER_OP(GeluTanh);
}  // namespace

Tensor gelu_tanh(const Tensor& x) { return apply<GeluTanh>(x); }

}  // namespace retort
