// autograd/ops/sort.h -- orders along an axis. Any dtype. NaN counts as larger than everything else, -0 equals 0, and
// equal elements keep their order, ascending or descending: results are the same for any number of threads.
// Throw ShapeError for an axis outside the rank.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// Elements of each line in order, and where they stood (i64). Gradients flow through the values, as through a gather.
struct Sorted {
  Tensor values, indices;
};
Sorted sort(const Tensor& x, int axis = -1, bool descending = false);
/// The indices that sort each line, i64.
Tensor argsort(const Tensor& x, int axis = -1, bool descending = false);

/// The first k elements of sort(x, axis, largest), without sorting the rest: the k largest (or smallest), best first;
/// of equal ones those that stand first. Throws ValueError unless 0 <= k <= the extent of the axis.
Sorted top_k(const Tensor& x, std::int64_t k, int axis = -1, bool largest = true);

}  // namespace retort
