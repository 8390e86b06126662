// autograd/ops/distance.h -- distances between all rows of two sets of points, and nearest neighbours. Float dtypes;
// 16-bit floats are computed in f32. Throw ShapeError, DTypeError.
#pragma once
#include "tensor/tensor.h"

namespace retort {

enum class Metric : std::uint8_t { squared_l2, l2, l1 };

/// Distances of the rows of a [.., n, d] to those of b [.., m, d] -> [.., n, m]; leading axes broadcast. Squares come
/// from one matrix product about the mean of b, and those too small for it from the differences themselves, so equal
/// rows are at distance 0 exactly. The derivative of l2 and l1 at distance 0 is 0. Derivatives of l1 of second order
/// and in forward mode take n m d numbers, all else n m.
Tensor pairwise_distance(const Tensor& a, const Tensor& b, Metric metric = Metric::l2);

struct Neighbours {
  Tensor distances;  ///< [n, k], ascending; differentiable in both sets
  Tensor indices;    ///< i64 [n, k], rows of `points`; of equal distances the lower index first
};
/// The k rows of points [m, d] nearest to each row of queries [n, d]. Distances are formed for some queries at a time,
/// at most 2^22 (or m, where that is more). Throws ValueError unless 1 <= k <= m.
Neighbours k_nearest(const Tensor& queries, const Tensor& points, std::int64_t k, Metric metric = Metric::l2);

}  // namespace retort
