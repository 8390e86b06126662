// autograd/ops/conv_checks.h -- what conv and conv_block check alike.
#pragma once
#include "autograd/ops/conv.h"
#include "autograd/rule.h"

namespace retort {

/// Options spelled out for every one of `axes` axes. Throws ValueError.
inline ConvAttrs conv_attrs(int axes, const ConvOptions& o) {
  if (o.stride < 1 || o.dilation < 1 || o.padding < 0)
    throw ValueError("conv{}d: stride and dilation must be positive and padding not negative; got {}, {}, {}", axes,
                     o.stride, o.dilation, o.padding);
  return {Dims::filled(axes, o.stride), Dims::filled(axes, o.padding), Dims::filled(axes, o.dilation), o.groups, {}};
}

/// The result of a convolution of input 0 with weight 1 and an optional bias 2. Throws ShapeError, DTypeError.
inline void infer_conv(InferCall& call, const ConvAttrs& a) {
  const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2];
  const int rank = a.stride.rank() + 2;
  infer::require_float(call, 0);
  infer::require_same_dtype(call, 0, 3);
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

}  // namespace retort
