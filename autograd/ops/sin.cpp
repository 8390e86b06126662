// autograd/ops/sin.cpp -- sin(x). d/dx = cos(x).
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Sin : Elementwise<Sin> {
  static constexpr std::string_view name = "sin";
  static Tensor derivative(const Tensor& x) { return cos(x); }
};
REGISTER_OP(Sin);
}  // namespace

Tensor sin(const Tensor& x) { return apply<Sin>(x); }

}  // namespace retort
