// autograd/ops/gelu.cpp -- gelu(x) = x Phi(x), Phi the normal distribution function (erf form). d/dx = Phi(x) + x
// phi(x).
#include <numbers>

#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Gelu : Elementwise<Gelu> {
  static constexpr std::string_view name = "gelu";
  static Tensor derivative(const Tensor& x) {
    const Tensor cdf = erf(x * (1.0 / std::numbers::sqrt2)) * 0.5 + 0.5;
    const Tensor pdf = exp(square(x) * -0.5) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    return add(cdf, mul(x, pdf));
  }
};
REGISTER_OP(Gelu);
}  // namespace

Tensor gelu(const Tensor& x) { return apply<Gelu>(x); }

}  // namespace retort
