// autograd/ops/image.h -- changing the size of images. Images are logically NCHW; results have channels innermost in
// memory, inputs of any strides are accepted.
#pragma once
#include "tensor/attrs.h"
#include "tensor/tensor.h"

namespace retort {

struct ResizeOptions {
  ResizeMode mode = ResizeMode::bilinear;
  /// The centres of the corner pixels, not the outer edges of the image, stay where they are. Not with nearest modes.
  bool align_corners = false;
  /// When an axis shrinks, the filter widens with it, so that every pixel counts (as in PIL). Not with nearest modes,
  /// nor with align_corners.
  bool antialias = false;
};

/// x [n, c, h, w] -> [n, c, out_h, out_w], as torch.nn.functional.interpolate with `size`. Pixel o of m is read around
/// (o + 1/2) n / m - 1/2 of n (align_corners: o (n - 1) / (m - 1)), pixels outside being those at the edge; bicubic is
/// Keys' kernel (1981) with a = -3/4, with antialias a = -1/2 and weights outside dropped. `nearest` takes pixel
/// floor(o n / m), `nearest_exact` floor((o + 1/2) n / m), in exact arithmetic. Weights are f64 rounded to the type of
/// the sums. Throws ShapeError, ValueError, DTypeError.
Tensor resize2d(const Tensor& x, std::int64_t out_h, std::int64_t out_w, const ResizeOptions& options = {});
/// resize2d with the sizes spelled out; in_h and in_w must be those of x.
Tensor resize2d_with(const Tensor& x, const Resize2dAttrs& attrs);
/// The adjoint of resize2d: cot [n, c, out_h, out_w] -> [n, c, in_h, in_w].
Tensor resize2d_grad(const Tensor& cot, const Resize2dAttrs& attrs);

/// Groups of r^2 channels become r x r pixels: [n, c r^2, h, w] -> [n, c, h r, w r], channel (c r + i) r + j going to
/// pixel (i, j) (Shi et al. 2016). Any dtype. Throws ShapeError.
Tensor pixel_shuffle(const Tensor& x, std::int64_t r);
/// The inverse: [n, c, h r, w r] -> [n, c r^2, h, w].
Tensor pixel_unshuffle(const Tensor& x, std::int64_t r);

}  // namespace retort
