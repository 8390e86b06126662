// cuda_kernels/border.cuh -- bodies of reads and sums by tables along axes: a thread per element of the result.
#pragma once
#include "cuda_kernels/border.h"
#include "cuda_kernels/rows.cuh"
#include "cuda_kernels/strided.cuh"

namespace retort::kernels::RETORT_BACKEND {

struct TableStarts {
  std::int64_t axis[kMaxRank];
};

/// T is an unsigned number of the elements' size: bits are moved, not values.
template <class T>
RETORT_KERNEL void read_elements(In<T> x, Out<T> y, In<std::int64_t> tables, TableStarts begin, StridedPair shape,
                                 std::int64_t elements) {
  std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= elements) return;
  std::int64_t from = 0, to = 0;
  for (int axis = shape.rank - 1; axis >= 0; --axis) {
    const std::int64_t p = e % shape.extent[axis];
    e /= shape.extent[axis];
    from += tables[begin.axis[axis] + p] * shape.first[axis];
    to += p * shape.second[axis];
  }
  const T v = x[from];
  y[to] = v;
}

template <class T>
RETORT_KERNEL void sum_elements(In<T> x, Out<T> y, In<std::int64_t> tables, TableStarts begin, StridedPair shape,
                                std::int64_t elements) {
  std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= elements) return;
  // Readers of this place along each axis: [low, high) of the tables, and where the count over them stands.
  std::int64_t low[kMaxRank], high[kMaxRank], here[kMaxRank], to = 0;
  for (int axis = shape.rank - 1; axis >= 0; --axis) {
    const std::int64_t q = e % shape.extent[axis];
    e /= shape.extent[axis];
    to += q * shape.second[axis];
    low[axis] = here[axis] = tables[begin.axis[axis] + q];
    high[axis] = tables[begin.axis[axis] + q + 1];
  }
  float sum = 0;
  for (bool more = true; more;) {
    std::int64_t from = 0;
    for (int axis = 0; axis < shape.rank; ++axis) from += tables[here[axis]] * shape.first[axis];
    sum += at(x, from);
    more = false;
    for (int axis = shape.rank - 1; axis >= 0 && !more; --axis) {
      more = ++here[axis] < high[axis];
      if (!more) here[axis] = low[axis];
    }
  }
  y[to] = narrow<T>(sum);
}

}  // namespace retort::kernels::RETORT_BACKEND
