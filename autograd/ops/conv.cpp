// autograd/ops/conv.cpp -- convolution with bias; its adjoints are ops of their own, so every order works.
#include "autograd/ops/conv.h"

#include "autograd/ops/conv_checks.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
ConvAttrs with_size(ConvAttrs a, const Tensor& like) {
  a.size = Shape(std::span(like.shape().begin() + 2, like.shape().end()));
  return a;
}

/// [1, c, 1, ...]: a bias against an image of this rank.
Tensor per_channel(const Tensor& bias, int rank) {
  Shape shape = Dims::filled(rank, 1);
  shape[1] = bias.shape()[0];
  return reshape(bias, shape);
}

struct Conv : General<Conv> {
  static constexpr std::string_view name = "conv";
  static Saves saves(std::uint32_t tracked, const AttrBox&) {
    return {(tracked & 1u ? 2u : 0u) | (tracked & 2u ? 1u : 0u), 0, 3};
  }
  static void infer(InferCall& call) { infer_conv(call, call.attrs.as<ConvAttrs>()); }
  static void vjp(VjpCall& c) {
    const auto& a = c.attrs.as<ConvAttrs>();
    if (c.wants[0]) c.grad[0] = conv_input_grad(c.cot[0], c.in[1], with_size(a, c.in[0]));
    if (c.wants[1]) c.grad[1] = conv_weight_grad(c.in[0], c.cot[0], with_size(a, c.in[1]));
    if (c.wants[2]) c.grad[2] = sum(c.cot[0], Axes::of_mask(((1u << c.cot[0].rank()) - 1) & ~2u));
  }
  static Tensor run(const Tensor& x, const Tensor& w, const Tensor& bias, const AttrBox& attrs) {
    return apply_with<Conv>(attrs, channels_last(x), channels_last(w), bias);
  }
  static void jvp(JvpCall& c) {
    Tensor t;
    const auto plus = [&t](const Tensor& u) { t = t.defined() ? add(t, u) : u; };
    if (c.tangent[0].defined()) plus(run(c.tangent[0], c.in[1], {}, c.attrs));
    if (c.tangent[1].defined()) plus(run(c.in[0], c.tangent[1], {}, c.attrs));
    if (c.tangent[2].defined()) plus(broadcast_to(per_channel(c.tangent[2], c.out[0].rank()), c.out[0].shape()));
    c.out_tangent[0] = t;
  }
};
REGISTER_OP(Conv);

/// Convolution over `axes` axes.
Tensor conv(int axes, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& o) {
  return conv_with(x, w, bias, conv_attrs(axes, o));
}

Tensor conv_transpose(int axes, const Tensor& x, const Tensor& w, const Tensor& bias, const ConvTransposeOptions& o) {
  if (o.stride < 1 || o.dilation < 1 || o.padding < 0 || o.output_padding < 0 || o.output_padding >= o.stride)
    throw ValueError(
        "conv_transpose{}d: stride and dilation must be positive, padding not negative and output_padding "
        "in [0, stride); got {}, {}, {}, {}",
        axes, o.stride, o.dilation, o.padding, o.output_padding);
  if (x.rank() != axes + 2 || w.rank() != axes + 2 || o.groups < 1 || x.size(1) != w.size(0) ||
      w.size(0) % o.groups != 0)
    throw ShapeError("conv_transpose{}d: channels do not fit {} groups; got {} and weight {}", axes, o.groups, x.str(),
                     w.str());
  const std::int64_t channels = w.size(1) * o.groups;
  if (bias.defined() && !(bias.shape() == Shape{channels}))
    throw ShapeError("conv_transpose{}d: the bias must have {} elements; got {}", axes, channels, bias.str());
  ConvAttrs a{
      Dims::filled(axes, o.stride), Dims::filled(axes, o.padding), Dims::filled(axes, o.dilation), o.groups, {}};
  for (int i = 2; i < x.rank(); ++i) {
    const std::int64_t extent =
        (x.size(i) - 1) * o.stride - 2 * o.padding + o.dilation * (w.size(i) - 1) + o.output_padding + 1;
    if (extent < 1 || x.size(i) < 1 || w.size(i) < 1)
      throw ShapeError("conv_transpose{}d: nothing is left of axis {}; got {} and weight {}", axes, i, x.str(),
                       w.str());
    a.size.push_back(extent);
  }
  const Tensor y = conv_input_grad(x, w, a);
  return bias.defined() ? y + per_channel(bias, y.rank()) : y;
}
}  // namespace

Tensor conv_with(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvAttrs& attrs) {
  return Conv::run(x, w, bias, AttrBox::of(attrs));
}

Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& options) {
  return conv(1, x, w, bias, options);
}
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& options) {
  return conv(2, x, w, bias, options);
}
Tensor conv3d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& options) {
  return conv(3, x, w, bias, options);
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvTransposeOptions& options) {
  return conv_transpose(1, x, w, bias, options);
}
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvTransposeOptions& options) {
  return conv_transpose(2, x, w, bias, options);
}
Tensor conv_transpose3d(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvTransposeOptions& options) {
  return conv_transpose(3, x, w, bias, options);
}

}  // namespace retort
