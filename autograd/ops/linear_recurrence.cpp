// autograd/ops/linear_recurrence.cpp -- h_t = a_t h_(t-1) + b_t. Tangents obey the same recurrence with db_t + da_t
// h_(t-1) in b's place, cotangents the one that runs the other way.
#include "autograd/ops/scan.h"
#include "autograd/ops/scan_shift.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct LinearRecurrence : General<LinearRecurrence> {
  static constexpr std::string_view name = "linear_recurrence";
  static Saves saves(std::uint32_t tracked, const AttrBox&) { return {1, tracked & 1u, 0}; }
  static void infer(InferCall& call) {
    const Tensor &a = call.in[0], &b = call.in[1];
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, 2);
    if (!(a.shape() == b.shape()))
      throw ShapeError("linear_recurrence: factors and terms must have one shape; got {} and {}", a.str(), b.str());
    call.output(b.shape(), b.dtype(), infer::like(b));
  }
  static void vjp(VjpCall& c) {
    const auto& s = c.attrs.as<ScanAttrs>();
    const Tensor next = shifted(c.in[0], s.axis, !s.reverse, 0);
    const Tensor g = linear_recurrence(next, c.cot[0], s.axis, !s.reverse);
    if (c.wants[0]) c.grad[0] = g * shifted(c.out[0], s.axis, s.reverse, 0);
    if (c.wants[1]) c.grad[1] = g;
  }
  static void jvp(JvpCall& c) {
    const auto& s = c.attrs.as<ScanAttrs>();
    Tensor term = c.tangent[1];
    if (c.tangent[0].defined()) {
      const Tensor from_a = c.tangent[0] * shifted(c.out[0], s.axis, s.reverse, 0);
      term = term.defined() ? term + from_a : from_a;
    }
    c.out_tangent[0] = linear_recurrence(c.in[0], term, s.axis, s.reverse);
  }
};
REGISTER_OP(LinearRecurrence);
}  // namespace

Tensor linear_recurrence(const Tensor& a, const Tensor& b, int axis, bool reverse) {
  const int along = normalize_axis(axis, b.rank(), "linear_recurrence");
  return apply_with<LinearRecurrence>(AttrBox::of(ScanAttrs{along, reverse}), a, b);
}

}  // namespace retort
