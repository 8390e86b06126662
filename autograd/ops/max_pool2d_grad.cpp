// autograd/ops/max_pool2d_grad.cpp -- the adjoint of max_pool2d: cotangents summed where their windows found the
// maximum, linear in the cotangent.
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct MaxPool2dGrad : Linear<MaxPool2dGrad> {
  static constexpr std::string_view name = "max_pool2d_grad";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    const Tensor &cot = call.in[0], &argmax = call.in[1];
    if (argmax.dtype() != DType::i32 || !(argmax.shape() == cot.shape()) || cot.rank() != 4)
      throw ShapeError("max_pool2d_grad: i32 positions are wanted for each cotangent; got {} and {}", cot.str(),
                       argmax.str());
    const auto& a = call.attrs.as<Pool2dAttrs>();
    const Shape out{cot.shape()[0], cot.shape()[1], a.size_h, a.size_w};
    call.output(out, cot.dtype(), channels_last_strides(out));
  }
  static Tensor transpose(std::size_t, const Tensor& g, const VjpCall& c) {
    return max_pool2d_gather(g, c.in[1], c.attrs.as<Pool2dAttrs>());
  }
};
REGISTER_OP(MaxPool2dGrad);
}  // namespace

Tensor max_pool2d_grad(const Tensor& cot, const Tensor& argmax, const Pool2dAttrs& attrs) {
  return apply_with<MaxPool2dGrad>(AttrBox::of(attrs), channels_last(cot), channels_last(argmax));
}

}  // namespace retort
