// autograd/ops/avg_pool2d.cpp -- mean under each window.
#include "autograd/ops/pool_checks.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
struct AvgPool2d : Linear<AvgPool2d> {
  static constexpr std::string_view name = "avg_pool2d";
  static void infer(InferCall& call) {
    const Shape out = pooled_shape(call);
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
  }
  static Tensor transpose(std::size_t, const Tensor& g, const VjpCall& c) {
    return avg_pool2d_grad(g, c.attrs.as<Pool2dAttrs>());
  }
};
REGISTER_OP(AvgPool2d);
}  // namespace

Tensor avg_pool2d_with(const Tensor& x, const Pool2dAttrs& attrs) {
  return apply_with<AvgPool2d>(AttrBox::of(attrs), channels_last(x));
}

Tensor avg_pool2d(const Tensor& x, const PoolOptions& options) {
  return avg_pool2d_with(x, pool2d_attrs("avg_pool2d", x, options));
}

Tensor avg_pool1d(const Tensor& x, const PoolOptions& options) {
  return pooled_signal("avg_pool1d", x, options, avg_pool2d_with);
}

Tensor adaptive_avg_pool2d(const Tensor& x, std::int64_t out_h, std::int64_t out_w) {
  return avg_pool2d_with(x, adaptive_attrs("adaptive_avg_pool2d", x, out_h, out_w));
}

}  // namespace retort
