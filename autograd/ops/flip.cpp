// autograd/ops/flip.cpp -- elements in reverse order along some axes; its own adjoint.
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Flip : Linear<Flip> {
  static constexpr std::string_view name = "flip";
  static void infer(InferCall& call) { call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0])); }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    return flip(cot, Axes::of_mask(c.attrs.as<ReduceAttrs>().axes));
  }
};
REGISTER_OP(Flip);
}  // namespace

Tensor flip(const Tensor& x, const Axes& axes) {
  return apply_with<Flip>(AttrBox::of(ReduceAttrs{axis_mask(x.rank(), axes, "flip")}), x);
}

}  // namespace retort
