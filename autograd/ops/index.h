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

}  // namespace retort
