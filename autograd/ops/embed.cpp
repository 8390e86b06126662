// autograd/ops/embed.cpp -- embed(x): a larger tensor that holds x at regularly spaced positions and a constant
// elsewhere (zero padding, and the adjoint of slice).
#include "autograd/ops/padding.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Embed : General<Embed> {
  static constexpr std::string_view name = "embed";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static void infer(InferCall& call) {
    const Tensor& x = call.in[0];
    const auto& a = call.attrs.as<SliceAttrs>();
    for (int i = 0; i < x.rank(); ++i) {
      const std::int64_t last = a.begin[i] + (x.shape()[i] - 1) * a.step[i];
      if (a.begin[i] < 0 || a.step[i] < 1 || (x.shape()[i] > 0 && last >= a.shape[i]))
        throw ShapeError("{}: {} does not fit {} from {} in steps of {}", call.name, x.str(), a.shape.str(),
                         a.begin.str(), a.step.str());
    }
    call.output(a.shape, x.dtype(), strides_ordered_like(x.layout(), a.shape));
  }
  static void vjp(VjpCall& c) {
    const auto& a = c.attrs.as<SliceAttrs>();
    const Shape& shape = c.in[0].shape();
    Tensor g = c.cot[0];
    for (int i = 0; i < shape.rank(); ++i) {
      const std::int64_t end = a.begin[i] + (shape[i] - 1) * a.step[i] + 1;
      g = slice(g, i, a.begin[i], shape[i] > 0 ? end : a.begin[i], a.step[i]);
    }
    c.grad[0] = g;
  }
  static void jvp(JvpCall& c) {
    const auto& a = c.attrs.as<SliceAttrs>();
    c.out_tangent[0] = embed(c.tangent[0], a.shape, a.begin, a.step);
  }
};
REGISTER_OP(Embed);

}  // namespace

Tensor embed(const Tensor& x, const Shape& shape, const Dims& begin, const Dims& step) {
  for (const Dims& dims : {shape, begin, step})
    if (dims.rank() != x.rank())
      throw ShapeError("embed: needs one entry per axis; got {} for {}", dims.str(), x.str());
  return apply_with<Embed>(AttrBox::of(SliceAttrs{begin, step, shape}), x);
}

Tensor pad(const Tensor& x, const Dims& before, const Dims& after, double value) {
  const Padding p = padding_of(x, before, after);
  return apply_with<Embed>(AttrBox::of(SliceAttrs{p.before, Dims::filled(x.rank(), 1), p.shape, value}), x);
}

}  // namespace retort
