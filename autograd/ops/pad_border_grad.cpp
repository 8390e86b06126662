// autograd/ops/pad_border_grad.cpp -- the adjoint of pad_border: border elements added to what they repeat.
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct PadBorderGrad : Linear<PadBorderGrad> {
  static constexpr std::string_view name = "pad_border_grad";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    const Tensor& cot = call.in[0];
    const Shape& shape = call.attrs.as<PadBorderAttrs>().shape;
    call.output(shape, cot.dtype(), strides_ordered_like(cot.layout(), shape));
    // The cotangent's sums, in f32 for 16-bit floats.
    call.scratch(cot.numel() * (cot.dtype() == DType::f64 ? 8 : 4));
  }
  static Tensor transpose(std::size_t, const Tensor& g, const VjpCall& c) {
    const auto& a = c.attrs.as<PadBorderAttrs>();
    Dims after = c.in[0].shape();
    for (int i = 0; i < after.rank(); ++i) after[i] -= a.before[i] + a.shape[i];
    return pad(g, a.before, after, a.mode);
  }
};
REGISTER_OP(PadBorderGrad);
}  // namespace

Tensor pad_border_grad(const Tensor& cot, const Shape& shape, const Dims& before, PadMode mode) {
  return apply_with<PadBorderGrad>(AttrBox::of(PadBorderAttrs{before, shape, mode}), cot);
}

}  // namespace retort
