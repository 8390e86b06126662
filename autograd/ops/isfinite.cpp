// autograd/ops/isfinite.cpp -- isfinite(x), true where x is neither infinite nor NaN.
#include "autograd/ops/elementwise.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Isfinite : NonDifferentiable<Isfinite> {
  static constexpr std::string_view name = "isfinite";
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::comparison(call);
  }
};
REGISTER_OP(Isfinite);
}  // namespace

Tensor isfinite(const Tensor& x) { return apply<Isfinite>(x); }

}  // namespace retort
