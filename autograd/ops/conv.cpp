// autograd/ops/conv.cpp -- convolution with bias; its adjoints are ops of their own, so every order works.
#include "autograd/ops/conv.h"

#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

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
  static void infer(InferCall& call) {
    const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2];
    const auto& a = call.attrs.as<ConvAttrs>();
    const int rank = a.stride.rank() + 2;
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, call.in.size());
    for (std::size_t i = 0; i < 2; ++i) infer::require_rank(call, i, rank);
    const Shape &xs = x.shape(), &ws = w.shape();
    if (a.groups < 1 || xs[1] != ws[1] * a.groups || ws[0] % a.groups != 0)
      throw ShapeError("conv{}d: channels do not fit {} groups; got {} and weight {}", rank - 2, a.groups, x.str(),
                       w.str());
    if (bias.defined() && !(bias.shape() == Shape{ws[0]}))
      throw ShapeError("conv{}d: the bias must have {} elements; got {}", rank - 2, ws[0], bias.str());
    Shape out{xs[0], ws[0]};
    for (int i = 0; i + 2 < rank; ++i) {
      const std::int64_t room = xs[i + 2] + 2 * a.padding[i] - a.dilation[i] * (ws[i + 2] - 1) - 1;
      if (room < 0 || ws[i + 2] < 1)
        throw ShapeError("conv{}d: the kernel does not fit the padded image; got {} and weight {}", rank - 2, x.str(),
                         w.str());
      out.push_back(room / a.stride[i] + 1);
    }
    call.output(out, x.dtype(), channels_last_strides(out));
  }
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
  if (o.stride < 1 || o.dilation < 1 || o.padding < 0)
    throw ValueError("conv{}d: stride and dilation must be positive and padding not negative; got {}, {}, {}", axes,
                     o.stride, o.dilation, o.padding);
  return conv_with(
      x, w, bias,
      {Dims::filled(axes, o.stride), Dims::filled(axes, o.padding), Dims::filled(axes, o.dilation), o.groups, {}});
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
