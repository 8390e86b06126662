// autograd/ops/shape.h -- ops that only rearrange: views where strides allow it, copies otherwise.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// x seen with size-1 axes repeated (stride 0) and leading axes added. Throws ShapeError when it does not broadcast.
Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// Same elements in row-major order under another shape; one extent may be -1. A view when strides allow, else a copy.
Tensor reshape(const Tensor& x, const Shape& shape);
/// Row-major copy, or x itself when it already is.
Tensor contiguous(const Tensor& x);
/// Copy with channels (axis 1) innermost, or x itself when it is stored so or has fewer than three axes.
Tensor channels_last(const Tensor& x);

}  // namespace retort
