// autograd/ops/isnan.cpp -- isnan(x), true where x is NaN.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Isnan : NonDifferentiable<Isnan> {
  static constexpr std::string_view name = "isnan";
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::comparison(call);
  }
};
REGISTER_OP(Isnan);
}  // namespace

Tensor isnan(const Tensor& x) { return apply<Isnan>(x); }

}  // namespace retort
