// autograd/ops/log.cpp -- log(x), the natural logarithm. d/dx = 1 / x.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Log : Elementwise<Log> {
  static constexpr std::string_view name = "log";
  static Tensor derivative(const Tensor& x) { return reciprocal(x); }
};
REGISTER_OP(Log);
}  // namespace

Tensor log(const Tensor& x) { return apply<Log>(x); }

}  // namespace retort
