// autograd/ops/conv2d.cpp -- 2-D convolution with bias; its adjoints are ops of their own, so every order works.
#include "autograd/ops/conv.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
Conv2dAttrs with_size(Conv2dAttrs a, const Tensor& like) {
  a.size_h = like.shape()[2];
  a.size_w = like.shape()[3];
  return a;
}

struct Conv2d : General<Conv2d> {
  static constexpr std::string_view name = "conv2d";
  static Saves saves(std::uint32_t tracked, const AttrBox&) {
    return {(tracked & 1u ? 2u : 0u) | (tracked & 2u ? 1u : 0u), 0, 3};
  }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, call.in.size());
    infer::require_rank(call, 0, 4);
    infer::require_rank(call, 1, 4);
    const auto& a = call.attrs.as<Conv2dAttrs>();
    const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2];
    const Shape &xs = x.shape(), &ws = w.shape();
    if (a.groups < 1 || xs[1] != ws[1] * a.groups || ws[0] % a.groups != 0)
      throw ShapeError("conv2d: channels do not fit {} groups; got {} and weight {}", a.groups, x.str(), w.str());
    if (bias.defined() && !(bias.shape() == Shape{ws[0]}))
      throw ShapeError("conv2d: the bias must have {} elements; got {}", ws[0], bias.str());
    const std::int64_t h = xs[2] + 2 * a.pad_h - a.dil_h * (ws[2] - 1) - 1,
                       w_ = xs[3] + 2 * a.pad_w - a.dil_w * (ws[3] - 1) - 1;
    if (h < 0 || w_ < 0 || ws[2] < 1 || ws[3] < 1)
      throw ShapeError("conv2d: the kernel does not fit the padded image; got {} and weight {}", x.str(), w.str());
    const Shape out{xs[0], ws[0], h / a.stride_h + 1, w_ / a.stride_w + 1};
    call.output(out, x.dtype(), channels_last_strides(out));
  }
  static void vjp(VjpCall& c) {
    const auto& a = c.attrs.as<Conv2dAttrs>();
    if (c.wants[0]) c.grad[0] = conv2d_input_grad(c.cot[0], c.in[1], with_size(a, c.in[0]));
    if (c.wants[1]) c.grad[1] = conv2d_weight_grad(c.in[0], c.cot[0], with_size(a, c.in[1]));
    if (c.wants[2]) c.grad[2] = sum(c.cot[0], {0, 2, 3});
  }
  static Tensor run(const Tensor& x, const Tensor& w, const Tensor& bias, const AttrBox& attrs) {
    return apply_with<Conv2d>(attrs, channels_last(x), channels_last(w), bias);
  }
  static void jvp(JvpCall& c) {
    Tensor t;
    const auto plus = [&t](const Tensor& u) { t = t.defined() ? add(t, u) : u; };
    if (c.tangent[0].defined()) plus(run(c.tangent[0], c.in[1], {}, c.attrs));
    if (c.tangent[1].defined()) plus(run(c.in[0], c.tangent[1], {}, c.attrs));
    if (c.tangent[2].defined())
      plus(broadcast_to(reshape(c.tangent[2], {1, c.tangent[2].shape()[0], 1, 1}), c.out[0].shape()));
    c.out_tangent[0] = t;
  }
};
REGISTER_OP(Conv2d);
}  // namespace

Tensor conv2d_with(const Tensor& x, const Tensor& w, const Conv2dAttrs& attrs) {
  return Conv2d::run(x, w, {}, AttrBox::of(attrs));
}

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o) {
  if (o.stride < 1 || o.dilation < 1 || o.padding < 0)
    throw ValueError("conv2d: stride and dilation must be positive and padding not negative; got {}, {}, {}", o.stride,
                     o.dilation, o.padding);
  const Conv2dAttrs a{o.stride, o.stride, o.padding, o.padding, o.dilation, o.dilation, o.groups};
  return Conv2d::run(x, w, bias, AttrBox::of(a));
}

}  // namespace retort
