// autograd/ops/index.h -- reading and adding by index. Indices are i64 in [0, extent); any other throws ValueError
// naming op, index and extent. Sums over repeated indices run in a fixed order for any number of threads.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// x's slices along `axis` at the given indices: the axis is replaced by the axes of `indices`.
/// x [.., n, ..], indices [s...] -> [.., s..., ..].
Tensor index_select(const Tensor& x, int axis, const Tensor& indices);
/// Rows of a table: weight [n, d], ids [s...] -> [s..., d].
Tensor embedding(const Tensor& weight, const Tensor& ids);
/// A tensor of zeros with `extent` along `axis` to which the slices of src are added at `indices` (the adjoint of
/// index_select). src [.., s..., ..], indices [s...] -> [.., extent, ..]. 16-bit floats accumulate in f32.
Tensor index_add(const Tensor& src, int axis, const Tensor& indices, std::int64_t extent);

/// out[i, j, ..] = x[i, index[i, j, ..], ..] along `axis`: one element of each line. `index` has x's extents on every
/// other axis; the result has index's shape.
Tensor gather(const Tensor& x, int axis, const Tensor& index);
/// A tensor of zeros with `extent` along `axis` to which src's elements are added at `index`, line by line (the adjoint
/// of gather). src and index have one shape.
Tensor scatter_add(const Tensor& src, int axis, const Tensor& index, std::int64_t extent);
/// x with src's elements written at `index`, line by line along `axis`: out[i, index[i, j, ..], ..] = src[i, j, ..].
/// src and index have one shape, with x's extents on all other axes. Of several writes to one place the last one
/// counts, and it alone has a gradient. Any dtype.
Tensor scatter(const Tensor& x, int axis, const Tensor& index, const Tensor& src);
/// x where the bool `mask` (which broadcasts) is false, `value` where it is true.
Tensor masked_fill(const Tensor& x, const Tensor& mask, double value);

/// How often each id in [0, bins) occurs in i64 ids of any shape: i64 [bins]; with float weights, of the ids' shape,
/// the sum of the weights of each id in their dtype, through which gradients flow.
Tensor bincount(const Tensor& ids, std::int64_t bins, const Tensor& weights = {});

}  // namespace retort
