// autograd/ops/max_pool2d.cpp -- largest value under each window. Its derivative scatters to, or gathers at, the
// positions that won, which are kept beside the result.
#include "autograd/ops/pool_checks.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
struct MaxPool2d : General<MaxPool2d> {
  static constexpr std::string_view name = "max_pool2d";
  static constexpr int aux = 1;  // argmax, i32
  static Saves saves(std::uint32_t, const AttrBox&) { return {}; }
  static void infer(InferCall& call) {
    const Shape out = pooled_shape(call);
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
    call.output(out, DType::i32, channels_last_strides(out));
  }
  static void vjp(VjpCall& c) { c.grad[0] = max_pool2d_grad(c.cot[0], c.out[1], c.attrs.as<Pool2dAttrs>()); }
  static void jvp(JvpCall& c) {
    c.out_tangent[0] = max_pool2d_gather(c.tangent[0], c.out[1], c.attrs.as<Pool2dAttrs>());
  }
};
REGISTER_OP(MaxPool2d);

Tensor max_pool2d_with(const Tensor& x, const Pool2dAttrs& attrs) {
  return apply_with<MaxPool2d>(AttrBox::of(attrs), channels_last(x));
}
}  // namespace

Tensor max_pool2d(const Tensor& x, const PoolOptions& options) {
  return max_pool2d_with(x, pool2d_attrs("max_pool2d", x, options));
}

Tensor max_pool1d(const Tensor& x, const PoolOptions& options) {
  return pooled_signal("max_pool1d", x, options, max_pool2d_with);
}

Tensor adaptive_max_pool2d(const Tensor& x, std::int64_t out_h, std::int64_t out_w) {
  return max_pool2d_with(x, adaptive_attrs("adaptive_max_pool2d", x, out_h, out_w));
}

}  // namespace retort
