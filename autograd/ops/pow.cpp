// autograd/ops/pow.cpp -- pow(a, b) = a^b per element, broadcasting, float dtypes. d/da = b a^(b-1), d/db = a^b log a.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Pow : Elementwise<Pow> {
  static constexpr std::string_view name = "pow";
  static Tensor partial(int i, const Tensor& a, const Tensor& b) {
    const Tensor zero = scalar_like(a, 0.0), one = scalar_like(a, 1.0), at_zero = equal(a, zero);
    if (i == 0) {
      // 0^0 is constant in a; the formula would read 0 * 0^-1.
      const Tensor constant = logical_and(at_zero, equal(b, zero));
      return mul(b, pow(a, where(constant, one, b) - 1.0));
    }
    // At a = 0 the factor log a is infinite: both branches are kept finite, so that higher orders stay clean too.
    const Tensor safe = where(at_zero, one, a);
    return where(at_zero, zero, mul(pow(safe, b), log(safe)));
  }
};
REGISTER_OP(Pow);
}  // namespace

Tensor pow(const Tensor& a, const Tensor& b) { return apply<Pow>(a, b); }

}  // namespace retort
