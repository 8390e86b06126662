// autograd/ops/roll.cpp -- elements moved along some axes, around the ends; the adjoint moves them back.
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Roll : Linear<Roll> {
  static constexpr std::string_view name = "roll";
  static void infer(InferCall& call) { call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0])); }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    Dims back = c.attrs.as<Dims>();
    for (int a = 0; a < back.rank(); ++a)
      if (back[a] > 0) back[a] = cot.shape()[a] - back[a];
    return apply_with<Roll>(AttrBox::of(back), cot);
  }
};
REGISTER_OP(Roll);
}  // namespace

Tensor roll(const Tensor& x, const Dims& shifts, const Axes& axes) {
  if (shifts.rank() != axes.size())
    throw ShapeError("roll: needs one shift per axis; got {} for {} axes", shifts.str(), axes.size());
  Dims shift = Dims::filled(x.rank(), 0);
  int i = 0;
  for (const int axis : axes) {
    const int a = normalize_axis(axis, x.rank(), "roll");
    const std::int64_t extent = std::max<std::int64_t>(x.shape()[a], 1);
    shift[a] = ((shift[a] + shifts[i++]) % extent + extent) % extent;
  }
  return shift == Dims::filled(x.rank(), 0) ? x : apply_with<Roll>(AttrBox::of(shift), x);
}

}  // namespace retort
