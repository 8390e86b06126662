// autograd/ops/silu.cpp -- silu(x) = x sigmoid(x). d/dx = s (1 + x (1 - s)) with s = sigmoid(x).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
/// s (1 - s) (2 + x (1 - 2 s)) is its derivative.
struct SiluSlope : Elementwise<SiluSlope> {
  static constexpr std::string_view name = "silu_slope";
  static Tensor derivative(const Tensor& x) {
    const Tensor s = sigmoid(x);
    return mul(mul(s, 1.0 - s), mul(x, 1.0 - s * 2.0) + 2.0);
  }
};
REGISTER_OP(SiluSlope);

struct SiluBackward : SlopeProduct<SiluBackward> {
  static constexpr std::string_view name = "silu_backward";
  static Tensor slope(const Tensor& x) { return apply<SiluSlope>(x); }
  static Tensor curvature(const Tensor& x) { return SiluSlope::derivative(x); }
};
REGISTER_OP(SiluBackward);

struct Silu : Elementwise<Silu> {
  static constexpr std::string_view name = "silu";
  static Tensor derivative(const Tensor& x) { return apply<SiluSlope>(x); }
  static Tensor pull(const Tensor& cot, const Tensor& x) { return apply<SiluBackward>(cot, x); }
};
REGISTER_OP(Silu);
}  // namespace

Tensor silu(const Tensor& x) { return apply<Silu>(x); }

}  // namespace retort
