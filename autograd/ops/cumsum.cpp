// autograd/ops/cumsum.cpp -- cumsum(x, axis): running sums along an axis; the adjoint runs the other way.
#include "autograd/ops/reduce.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Cumsum : Linear<Cumsum> {
  static constexpr std::string_view name = "cumsum";
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0]));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const auto& a = c.attrs.as<CumsumAttrs>();
    return cumsum(cot, a.axis, !a.reverse);
  }
};
REGISTER_OP(Cumsum);
}  // namespace

Tensor cumsum(const Tensor& x, int axis, bool reverse) {
  return apply_with<Cumsum>(AttrBox::of(CumsumAttrs{normalize_axis(axis, x.rank(), "cumsum"), reverse}), x);
}

}  // namespace retort
