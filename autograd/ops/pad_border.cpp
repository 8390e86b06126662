// autograd/ops/pad_border.cpp -- x with a border that repeats it: mirrored, replicated or wrapped around.
#include "autograd/ops/padding.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct PadBorder : Linear<PadBorder> {
  static constexpr std::string_view name = "pad_border";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static void infer(InferCall& call) {
    const Shape& shape = call.attrs.as<PadBorderAttrs>().shape;
    call.output(shape, call.in[0].dtype(), strides_ordered_like(call.in[0].layout(), shape));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const auto& a = c.attrs.as<PadBorderAttrs>();
    return pad_border_grad(cot, c.in[0].shape(), a.before, a.mode);
  }
};
REGISTER_OP(PadBorder);
}  // namespace

Tensor pad(const Tensor& x, const Dims& before, const Dims& after, PadMode mode) {
  const Padding p = padding_of(x, before, after);
  for (int a = 0; a < x.rank(); ++a) {
    const std::int64_t extent = x.shape()[a], amount = std::max(p.before[a], p.after[a]);
    const bool fits = mode == PadMode::reflect    ? amount < extent
                      : mode == PadMode::circular ? amount <= extent
                                                  : extent > 0;
    if (amount > 0 && !fits)
      throw ShapeError(
          "pad: a border of {} elements cannot repeat axis {}; got {}; hint: reflect needs amounts below "
          "the extent, circular at most the extent",
          amount, a, x.str());
  }
  return p.shape == x.shape() ? x : apply_with<PadBorder>(AttrBox::of(PadBorderAttrs{p.before, p.shape, mode}), x);
}

}  // namespace retort
