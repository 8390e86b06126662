// autograd/ops/divide_by_gaps.cpp -- y_ij = x_ij / (t_j - t_i), t = s^p, 0 on the diagonal; linear in x, and
// dy = (dx - y (dt_j - dt_i)) / (t_j - t_i).
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
/// Inputs x [.., k, k] and s as a row [.., 1, k].
struct DivideByGaps : General<DivideByGaps> {
  static constexpr std::string_view name = "divide_by_gaps";
  static Saves saves(std::uint32_t tracked, const AttrBox&) { return {2, tracked >> 1 & 1u, 0}; }
  static void infer(InferCall& call) {
    infer::require_square(call, 0);
    infer::require_same_dtype(call, 0, 2);
    const Tensor &x = call.in[0], &s = call.in[1];
    if (!(s.shape() == infer::with_last(x.shape(), {1, x.size(-1)})))
      throw ShapeError("divide_by_gaps: one value per column is wanted; got {} and {}", x.str(), s.str());
    call.output(x.shape(), x.dtype());
  }
  static Tensor run(const Tensor& x, const Tensor& s, const AttrBox& attrs) {
    return apply_with<DivideByGaps>(attrs, x, s);
  }
  /// dt / ds times d
  static Tensor powered(const Tensor& s, const Tensor& d, const AttrBox& attrs) {
    return attrs.as<GapAttrs>().power == 2 ? s * d * 2.0 : d;
  }
  static void vjp(VjpCall& c) {
    const Tensor g = run(c.cot[0], c.in[1], c.attrs);
    if (c.wants[0]) c.grad[0] = g;
    if (!c.wants[1]) return;
    const Tensor moved = g * c.out[0];
    const Tensor dt = matrix_transpose(sum(moved, {-1}, true)) - sum(moved, {-2}, true);
    c.grad[1] = powered(c.in[1], dt, c.attrs);
  }
  static void jvp(JvpCall& c) {
    Tensor numerator = c.tangent[0];
    if (c.tangent[1].defined()) {
      const Tensor dt = powered(c.in[1], c.tangent[1], c.attrs);
      const Tensor moved = c.out[0] * (dt - matrix_transpose(dt));
      numerator = numerator.defined() ? numerator - moved : -moved;
    }
    c.out_tangent[0] = run(numerator, c.in[1], c.attrs);
  }
};
REGISTER_OP(DivideByGaps);
}  // namespace

Tensor divide_by_gaps(const Tensor& x, const Tensor& s, int power) {
  if (power != 1 && power != 2) throw ValueError("divide_by_gaps: power must be 1 or 2; got {}", power);
  return DivideByGaps::run(x, as_row(s), AttrBox::of(GapAttrs{power}));
}

}  // namespace retort
