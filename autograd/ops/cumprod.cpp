// autograd/ops/cumprod.cpp -- y_k = x_0 .. x_k along an axis. With e the exclusive products, dy_k = x_k dy_(k-1) + e_k
// dx_k: tangents and, backwards, cotangents are linear recurrences, which divide by nothing.
#include "autograd/ops/scan.h"
#include "autograd/ops/scan_shift.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Cumprod : General<Cumprod> {
  static constexpr std::string_view name = "cumprod";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0]));
  }
  static Tensor products_before(const Tensor& y, const ScanAttrs& a) {
    return a.exclusive ? y : shifted(y, a.axis, a.reverse, 1);
  }
  static void vjp(VjpCall& c) {
    const auto& a = c.attrs.as<ScanAttrs>();
    // An exclusive product at k + 1 is the inclusive one at k.
    const Tensor cot = a.exclusive ? shifted(c.cot[0], a.axis, !a.reverse, 0) : c.cot[0];
    const Tensor next = shifted(c.in[0], a.axis, !a.reverse, 0);
    c.grad[0] = products_before(c.out[0], a) * linear_recurrence(next, cot, a.axis, !a.reverse);
  }
  static void jvp(JvpCall& c) {
    const auto& a = c.attrs.as<ScanAttrs>();
    const Tensor t = linear_recurrence(c.in[0], products_before(c.out[0], a) * c.tangent[0], a.axis, a.reverse);
    c.out_tangent[0] = a.exclusive ? shifted(t, a.axis, a.reverse, 0) : t;
  }
};
REGISTER_OP(Cumprod);
}  // namespace

Tensor cumprod(const Tensor& x, int axis, bool reverse, bool exclusive) {
  const int a = normalize_axis(axis, x.rank(), "cumprod");
  return apply_with<Cumprod>(AttrBox::of(ScanAttrs{a, reverse, exclusive}), x);
}

}  // namespace retort
