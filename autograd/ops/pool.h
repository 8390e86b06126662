// autograd/ops/pool.h -- max and average pooling. Images are logically NCHW; they are computed and returned with
// channels innermost in memory. Inputs of any strides are accepted and copied when they differ.
// The mean over a whole image is mean(x, {2, 3}).
#pragma once
#include "tensor/attrs.h"
#include "tensor/tensor.h"

namespace retort {

/// `stride` 0 means: as the kernel. Padding is at most half the kernel, so that every window sees some of the image.
struct PoolOptions {
  std::int64_t kernel = 2, stride = 0, padding = 0;
  /// Averages only: whether padding counts in the divisor, as zeros.
  bool count_include_pad = true;
};

/// Largest value under each window, [n, c, h, w] -> [n, c, oh, ow] with oh = (h + 2 padding - kernel) / stride + 1.
/// Of equal values the first in reading order gets the gradient; a NaN is larger than any number; padding never wins.
/// Throws ShapeError, ValueError, DTypeError.
Tensor max_pool2d(const Tensor& x, const PoolOptions& options = {});
/// The same along one axis, [n, c, l] -> [n, c, ol].
Tensor max_pool1d(const Tensor& x, const PoolOptions& options = {});
/// Largest value under each of out_h x out_w windows that divide the image as evenly as they can: along an axis of
/// extent n, window i of m spans [floor(i n / m), ceil((i + 1) n / m)), as in PyTorch. m may exceed n.
/// Throws ShapeError, ValueError, DTypeError.
Tensor adaptive_max_pool2d(const Tensor& x, std::int64_t out_h, std::int64_t out_w);
/// The adjoint of max_pool2d where i32 `argmax` (row * size_w + column, shaped as cot) says which element each window
/// chose: cot [n, c, oh, ow] -> [n, c, size_h, size_w], each element the sum over the windows that chose it.
Tensor max_pool2d_grad(const Tensor& cot, const Tensor& argmax, const Pool2dAttrs& attrs);
/// The adjoint of max_pool2d_grad, x at argmax: x [n, c, size_h, size_w] -> the shape of argmax.
Tensor max_pool2d_gather(const Tensor& x, const Tensor& argmax, const Pool2dAttrs& attrs);

/// Mean under each window; shapes and errors as max_pool2d.
Tensor avg_pool2d(const Tensor& x, const PoolOptions& options = {});
/// The same along one axis, [n, c, l] -> [n, c, ol].
Tensor avg_pool1d(const Tensor& x, const PoolOptions& options = {});
/// Mean under each window of adaptive_max_pool2d.
Tensor adaptive_avg_pool2d(const Tensor& x, std::int64_t out_h, std::int64_t out_w);
/// avg_pool2d with the options spelled out per axis; `size` must be the spatial extent of x.
Tensor avg_pool2d_with(const Tensor& x, const Pool2dAttrs& attrs);
/// The adjoint of avg_pool2d: cot [n, c, oh, ow] -> [n, c, size_h, size_w].
Tensor avg_pool2d_grad(const Tensor& cot, const Pool2dAttrs& attrs);

}  // namespace retort
