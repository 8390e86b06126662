// autograd/ops/conv.h -- 2-D convolution. Images are logically NCHW and weights OIHW; both are computed, and images
// returned, with channels innermost in memory. Inputs of any strides are accepted and copied when they differ.
#pragma once
#include "tensor/attrs.h"
#include "tensor/tensor.h"

namespace retort {

struct ConvOptions {
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};

/// Cross-correlation: x [n, c, h, w], w [o, c / groups, kh, kw], bias [o] or undefined -> [n, o, oh, ow] with
/// oh = (h + 2 padding - dilation (kh - 1) - 1) / stride + 1. Throws ShapeError, DTypeError.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias = {}, const ConvOptions& options = {});
/// conv2d without bias, options spelled out per axis (`size` is not read).
Tensor conv2d_with(const Tensor& x, const Tensor& w, const Conv2dAttrs& attrs);
/// The adjoint of conv2d in x (so, a transposed convolution): cot [n, o, oh, ow] -> [n, c, size_h, size_w].
Tensor conv2d_input_grad(const Tensor& cot, const Tensor& w, const Conv2dAttrs& attrs);
/// The adjoint of conv2d in w: x and cot -> [o, c / groups, size_h, size_w].
Tensor conv2d_weight_grad(const Tensor& x, const Tensor& cot, const Conv2dAttrs& attrs);

}  // namespace retort
