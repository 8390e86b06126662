// autograd/ops/max_pool2d_gather.cpp -- an image read where max_pool2d found its maxima, linear in the image.
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct MaxPool2dGather : Linear<MaxPool2dGather> {
  static constexpr std::string_view name = "max_pool2d_gather";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    const Tensor &x = call.in[0], &argmax = call.in[1];
    const auto& a = call.attrs.as<Pool2dAttrs>();
    if (argmax.dtype() != DType::i32 || argmax.rank() != 4 ||
        !(x.shape() == Shape{argmax.shape()[0], argmax.shape()[1], a.size_h, a.size_w}))
      throw ShapeError("max_pool2d_gather: i32 positions within {}x{} images are wanted; got {} and {}", a.size_h,
                       a.size_w, x.str(), argmax.str());
    call.output(argmax.shape(), x.dtype(), channels_last_strides(argmax.shape()));
  }
  static Tensor transpose(std::size_t, const Tensor& g, const VjpCall& c) {
    return max_pool2d_grad(g, c.in[1], c.attrs.as<Pool2dAttrs>());
  }
};
REGISTER_OP(MaxPool2dGather);
}  // namespace

Tensor max_pool2d_gather(const Tensor& x, const Tensor& argmax, const Pool2dAttrs& attrs) {
  return apply_with<MaxPool2dGather>(AttrBox::of(attrs), channels_last(x), channels_last(argmax));
}

}  // namespace retort
