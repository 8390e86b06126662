// cuda_kernels/write.cuh -- bodies of writes in place.
#pragma once
#include "cuda_kernels/strided.cuh"
#include "cuda_kernels/write.h"

namespace retort::kernels::RETORT_BACKEND {

template <class T>
RETORT_KERNEL void fill_strided(Out<T> y, T value, std::int64_t n, StridedPair shape) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i < n) y[places_of(i, shape).second] = value;
}

template <class From, class To>
RETORT_KERNEL void accumulate_strided(In<From> x, Out<To> y, std::int64_t n, StridedPair shape) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= n) return;
  const Places at = places_of(i, shape);
  const auto added = static_cast<compute_t<To>>(widen(static_cast<From>(x[at.first])));
  y[at.second] = narrow<To>(widen(static_cast<To>(y[at.second])) + added);
}

template <class T>
RETORT_KERNEL void scale_strided(Out<T> y, In<double> factor, std::int64_t n, StridedPair shape) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= n) return;
  const std::int64_t at = places_of(i, shape).second;
  y[at] = narrow<T>(widen(static_cast<T>(y[at])) * static_cast<compute_t<T>>(factor[0]));
}

}  // namespace retort::kernels::RETORT_BACKEND
