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

struct Silu : Elementwise<Silu> {
  static constexpr std::string_view name = "silu";
  static Tensor derivative(const Tensor& x) { return apply<SiluSlope>(x); }
};
REGISTER_OP(Silu);
}  // namespace

Tensor silu(const Tensor& x) { return apply<Silu>(x); }

}  // namespace retort
