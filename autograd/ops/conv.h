// autograd/ops/conv.h -- convolution over one, two or three axes, and its transpose. Signals are logically NCL, images
// NCHW and volumes NCDHW, weights OI followed by the kernel; all are computed, and results returned, with channels
// innermost in memory. Inputs of any strides are accepted and copied when they differ.
#pragma once
#include <limits>

#include "tensor/attrs.h"
#include "tensor/tensor.h"

namespace retort {

/// The same along all axes; conv_with tells them apart.
struct ConvOptions {
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};

/// Cross-correlation: x [n, c, h, w], w [o, c / groups, kh, kw], bias [o] or undefined -> [n, o, oh, ow] with
/// oh = (h + 2 padding - dilation (kh - 1) - 1) / stride + 1. Throws ShapeError, ValueError, DTypeError.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& bias = {}, const ConvOptions& options = {});
/// The same for x [n, c, l] and w [o, c / groups, k].
Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& bias = {}, const ConvOptions& options = {});
/// The same for x [n, c, d, h, w] and w [o, c / groups, kd, kh, kw].
Tensor conv3d(const Tensor& x, const Tensor& w, const Tensor& bias = {}, const ConvOptions& options = {});
/// Any of them, options spelled out per axis (`size` is not read).
Tensor conv_with(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvAttrs& attrs);

/// What conv_block does to a convolution's result. Tensors that are undefined are left out.
struct ConvEpilogue {
  Tensor scale = {}, shift = {};  ///< [o], in x's dtype or in f32 (f64 for f64)
  Tensor residual = {};           ///< like the result
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
};
/// clamp((conv2d(x, w, bias) scale + shift + residual), low, high) in one pass over memory: convolution, batch norm
/// with known statistics, a shortcut and a rectifier. The reverse rule runs the parts again, so it is for evaluation.
/// Throws as conv2d does.
Tensor conv_block(const Tensor& x, const Tensor& w, const Tensor& bias, const ConvOptions& options,
                  const ConvEpilogue& then);

/// The adjoint of conv_with in x: cot [n, o, oh, ow] -> [n, c, ...size].
Tensor conv_input_grad(const Tensor& cot, const Tensor& w, const ConvAttrs& attrs);
/// The adjoint of conv_with in w: x and cot -> [o, c / groups, ...size].
Tensor conv_weight_grad(const Tensor& x, const Tensor& cot, const ConvAttrs& attrs);

struct ConvTransposeOptions {
  std::int64_t stride = 1, padding = 0;
  std::int64_t output_padding = 0;  ///< extra positions at the high end of every axis, fewer than the stride
  std::int64_t dilation = 1, groups = 1;
};

/// The adjoint of conv2d in its image, as a layer: x [n, c, h, w], w [c, o / groups, kh, kw], bias [o] or undefined ->
/// [n, o, oh, ow] with oh = (h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1. With weights and
/// options in common, conv2d maps its result's shape back to x's. Throws ShapeError, ValueError, DTypeError.
Tensor conv_transpose2d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                        const ConvTransposeOptions& options = {});
/// The same for x [n, c, l] and w [c, o / groups, k].
Tensor conv_transpose1d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                        const ConvTransposeOptions& options = {});
/// The same for x [n, c, d, h, w] and w [c, o / groups, kd, kh, kw].
Tensor conv_transpose3d(const Tensor& x, const Tensor& w, const Tensor& bias = {},
                        const ConvTransposeOptions& options = {});

}  // namespace retort
