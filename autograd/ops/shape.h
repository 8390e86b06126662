// autograd/ops/shape.h -- ops that only rearrange: views where strides allow it, copies otherwise. Any dtype.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "autograd/axes.h"
#include "tensor/attrs.h"

namespace retort {

/// x seen with size-1 axes repeated (stride 0) and leading axes added. Throws ShapeError when it does not broadcast.
Tensor broadcast_to(const Tensor& x, const Shape& shape);
/// Same elements in row-major order under another shape; one extent may be -1. A view when strides allow, else a copy.
Tensor reshape(const Tensor& x, const Shape& shape);
/// Row-major copy, or x itself when it already is.
Tensor contiguous(const Tensor& x);
/// Copy with channels (axis 1) innermost, or x itself when it is stored so or has fewer than three axes.
Tensor channels_last(const Tensor& x);

/// View whose axis i is axis axes[i] of x. Throws ShapeError unless `axes` names every axis once.
Tensor permute(const Tensor& x, const Axes& axes);
/// View with two axes exchanged.
Tensor transpose(const Tensor& x, int a, int b);
/// View with a new axis of extent 1 at position `axis` of the result (-1: last).
Tensor unsqueeze(const Tensor& x, int axis);
/// View without an axis of extent 1. Throws ShapeError for another extent.
Tensor squeeze(const Tensor& x, int axis);

/// View of the elements begin, begin + step, ... below end along an axis. Negative bounds count from the end, `end`
/// beyond it means it (as in numpy). Throws ValueError unless step >= 1.
Tensor slice(const Tensor& x, int axis, std::int64_t begin, std::int64_t end = INT64_MAX, std::int64_t step = 1);
/// View of one index along an axis, which disappears. Throws ShapeError when it is out of range.
Tensor select(const Tensor& x, int axis, std::int64_t index);
/// Views of consecutive pieces along an axis. Throws ShapeError unless the sizes add up to its extent.
std::vector<Tensor> split(const Tensor& x, std::span<const std::int64_t> sizes, int axis);
/// `pieces` views of equal size. Throws ShapeError when the extent does not divide.
std::vector<Tensor> chunk(const Tensor& x, int pieces, int axis);

/// The tensors one after the other along an axis; all other extents and the dtype agree. The memory arrangement
/// (row-major, channels last) is that of the first.
Tensor concat(std::span<const Tensor> tensors, int axis);
/// Tensors of one shape along a new axis at position `axis` of the result.
Tensor stack(std::span<const Tensor> tensors, int axis);

/// x surrounded by `value`: before[i] and after[i] (>= 0) elements along the last axes, one entry for each of them.
/// Keeps x's memory arrangement. Throws ShapeError.
Tensor pad(const Tensor& x, const Dims& before, const Dims& after, double value = 0);
/// As pad, but the border repeats x: `reflect` mirrors at the outermost elements (c b | a b c | b a), `replicate`
/// repeats them (a a | a b c | c c), `circular` wraps around (b c | a b c | a b). Amounts are below the axis' extent
/// for reflect and at most the extent for circular; an empty axis has no border to repeat. Throws ShapeError.
Tensor pad(const Tensor& x, const Dims& before, const Dims& after, PadMode mode);
/// The adjoint of that pad: every border element added to the element it repeats. `shape` is x's.
Tensor pad_border_grad(const Tensor& cot, const Shape& shape, const Dims& before, PadMode mode);
/// A tensor of `shape` that is zero but for x at begin[a] + i step[a] along axis a: the adjoint of slice.
Tensor embed(const Tensor& x, const Shape& shape, const Dims& begin, const Dims& step);
/// Elements in reverse order along the axes (all when empty).
Tensor flip(const Tensor& x, const Axes& axes);
/// x moved by shifts[i] (any sign) along axes[i]; what leaves at one end enters at the other. The element at index k
/// goes to (k + shift) mod extent. Throws ShapeError.
Tensor roll(const Tensor& x, const Dims& shifts, const Axes& axes);
/// Every index of an axis `times` times in a row: a, a, b, b, ...
Tensor repeat_interleave(const Tensor& x, std::int64_t times, int axis);

}  // namespace retort
