// cuda_kernels/select.cuh -- bodies of choices, bounds, predicates and logic: one element per thread.
#pragma once
#include "cuda_kernels/select.h"
#include "cuda_kernels/strided.cuh"
#include "tensor/elementwise.h"

namespace retort::kernels::RETORT_BACKEND {

RETORT_DEVICE std::int64_t element_index() {
  return std::int64_t{block_index().x} * block_extent().x + thread_index().x;
}

/// T is an unsigned number of the elements' size: bits are moved, not values.
template <class T>
RETORT_KERNEL void where_strided(In<bool> condition, In<T> a, In<T> b, Out<T> y, std::int64_t n, StridedPair shape,
                                 StridedPair of_b) {
  const std::int64_t i = element_index();
  if (i >= n) return;
  const Places at = places_of(i, shape);
  const T v = condition[at.first] ? a[at.second] : b[places_of(i, of_b).second];
  y[i] = v;
}

/// F is a functor with its numbers, told in the compute type.
template <class F, class T, class Y>
RETORT_KERNEL void map_with(In<T> x, Out<Y> y, std::int64_t n, F f) {
  const std::int64_t i = element_index();
  if (i < n) y[i] = narrow<Y>(f(widen(static_cast<T>(x[i]))));
}

template <class F>
RETORT_KERNEL void logic_strided(In<bool> a, In<bool> b, Out<bool> y, std::int64_t n, StridedPair shape) {
  const std::int64_t i = element_index();
  if (i >= n) return;
  const Places at = places_of(i, shape);
  const bool left = a[at.first], right = b[at.second];
  y[i] = F{}(left, right);
}

}  // namespace retort::kernels::RETORT_BACKEND

namespace retort::kernels {
template <class C>
inline constexpr bool kBytesTell<elementwise::Clamp<C>> = true;
template <class C>
inline constexpr bool kBytesTell<elementwise::LeakyRelu<C>> = true;
}  // namespace retort::kernels
