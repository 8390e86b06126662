// autograd/ops/log1p.cpp -- log1p(x) = log(1 + x), accurate near 0. d/dx = 1 / (1 + x).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Log1p : Elementwise<Log1p> {
  static constexpr std::string_view name = "log1p";
  static Tensor derivative(const Tensor& x) { return reciprocal(x + 1.0); }
};
REGISTER_OP(Log1p);
}  // namespace

Tensor log1p(const Tensor& x) { return apply<Log1p>(x); }

}  // namespace retort
