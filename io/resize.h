// io/resize.h -- antialiased resizing and cropping of 8-bit images.
#pragma once
#include "io/image.h"

namespace retort {

/// How a resized pixel gathers its source pixels. Both work on each axis by itself, with pixel i
/// covering [i, i + 1), its centre at i + 1/2 ("half-pixel centres"). With s = source size / target size:
/// - bilinear: weights max(0, 1 - |i + 1/2 - c| / max(s, 1)) around c = (x + 1/2) s: linear interpolation when
///   enlarging, a triangle widened to the scale when shrinking, so that fine detail is averaged instead of aliased;
/// - area: weights are the overlap of [i, i + 1) with [x s, (x + 1) s), so a shrunk pixel is the mean of what it
/// covers. Weights outside the source are left out and the rest sum to 1. This is PIL's BILINEAR and, for whole s, its
/// BOX; values between the two passes stay in f32 here and are rounded once, so results may differ from PIL's by 1.
enum class ResizeFilter { bilinear, area };

/// The image at `width` x `height`. Same channels. Throws ShapeError for a size below 1, above kMaxImagePixels, or an
/// image whose fields do not fit together.
Image resize(const Image& image, int width, int height, ResizeFilter filter = ResizeFilter::bilinear);

/// Resizes so that the shorter side becomes `size` and the longer one floor(size * longer / shorter), torchvision's
/// Resize(size).
Image resize_shorter_side(const Image& image, int size, ResizeFilter filter = ResizeFilter::bilinear);

/// The `width` x `height` rectangle whose top-left corner is (left, top). Throws ShapeError when it leaves the image.
Image crop(const Image& image, int left, int top, int width, int height);

/// The crop at the centre; an odd remainder of n is split at n / 2 rounded half to even, torchvision's CenterCrop.
Image center_crop(const Image& image, int width, int height);

}  // namespace retort
