// autograd/ops/cumsum.cpp -- cumsum(x, axis): running sums along an axis; the adjoint runs the other way.
#include "autograd/ops/scan.h"
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
    const auto& a = c.attrs.as<ScanAttrs>();
    return cumsum(cot, a.axis, !a.reverse, a.exclusive);
  }
};
REGISTER_OP(Cumsum);
}  // namespace

Tensor cumsum(const Tensor& x, int axis, bool reverse, bool exclusive) {
  const int a = normalize_axis(axis, x.rank(), "cumsum");
  return apply_with<Cumsum>(AttrBox::of(ScanAttrs{a, reverse, exclusive}), x);
}

}  // namespace retort
