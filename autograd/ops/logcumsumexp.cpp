// autograd/ops/logcumsumexp.cpp -- y_k = log(e^(x_0) + .. + e^(x_k)). dy_k = e^(y_(k-1) - y_k) dy_(k-1) + e^(x_k - y_k)
// dx_k: a linear recurrence whose weights add up to 1, so nothing overflows.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/scan_shift.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Logcumsumexp : General<Logcumsumexp> {
  static constexpr std::string_view name = "logcumsumexp";
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 1, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0]));
  }
  struct Weights {
    Tensor before, here;
  };
  /// Where y is still -infinity nothing has weight: there the differences would be NaN.
  static Weights weights(const Tensor& x, const Tensor& y, const ScanAttrs& a) {
    const Tensor level = where(isfinite(y), y, scalar_like(y, 0.0));
    return {exp(shifted(y, a.axis, a.reverse, -INFINITY) - level), exp(x - level)};
  }
  static void vjp(VjpCall& c) {
    const auto& a = c.attrs.as<ScanAttrs>();
    const Weights w = weights(c.in[0], c.out[0], a);
    c.grad[0] = w.here * linear_recurrence(shifted(w.before, a.axis, !a.reverse, 0), c.cot[0], a.axis, !a.reverse);
  }
  static void jvp(JvpCall& c) {
    const auto& a = c.attrs.as<ScanAttrs>();
    const Weights w = weights(c.in[0], c.out[0], a);
    c.out_tangent[0] = linear_recurrence(w.before, w.here * c.tangent[0], a.axis, a.reverse);
  }
};
REGISTER_OP(Logcumsumexp);
}  // namespace

Tensor logcumsumexp(const Tensor& x, int axis, bool reverse) {
  // The weights are exponentials of differences: they need more digits than a 16-bit result keeps.
  if (is_float(x.dtype()) && size_of(x.dtype()) == 2)
    return cast(logcumsumexp(cast(x, DType::f32), axis, reverse), x.dtype());
  const int a = normalize_axis(axis, x.rank(), "logcumsumexp");
  return apply_with<Logcumsumexp>(AttrBox::of(ScanAttrs{a, reverse}), x);
}

}  // namespace retort
