// cuda_kernels/copy.cuh -- body of the strided, converting copy.
#pragma once
#include "cuda_kernels/copy.h"
#include "cuda_kernels/strided.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class From, class To>
RETORT_KERNEL void copy_strided(In<From> x, Out<To> y, std::int64_t n, StridedPair shape) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= n) return;
  const Places at = places_of(i, shape);
  y[at.second] = narrow<To>(widen(static_cast<From>(x[at.first])));
}

}  // namespace retort::kernels::RETORT_BACKEND
