// cuda_kernels/copy.cuh -- body of the strided, converting copy.
#pragma once
#include "cuda_kernels/copy.h"
#include "cuda_kernels/device.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class From, class To>
RETORT_KERNEL void copy_strided(In<From> x, Out<To> y, std::int64_t n, StridedPair shape) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= n) return;
  std::int64_t rest = i, at_x = 0, at_y = 0;
  for (int axis = shape.rank - 1; axis >= 0; --axis) {
    const std::int64_t k = rest % shape.extent[axis];
    rest /= shape.extent[axis];
    at_x += k * shape.first[axis];
    at_y += k * shape.second[axis];
  }
  y[at_y] = narrow<To>(widen(static_cast<From>(x[at_x])));
}

}  // namespace retort::kernels::RETORT_BACKEND
