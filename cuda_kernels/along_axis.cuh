// cuda_kernels/along_axis.cuh -- bodies of gather, scatter and scatter-add along an axis.
#pragma once
#include "cuda_kernels/along_axis.h"
#include "cuda_kernels/device.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// A thread for each element of the result. T is an unsigned number of the elements' size.
template <class T>
RETORT_KERNEL void gather_along(In<T> x, In<std::int64_t> index, Out<T> y, AlongAxis shape) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= shape.outer * shape.count * shape.inner) return;
  const std::int64_t outer = i / (shape.count * shape.inner), inner = i % shape.inner;
  const T v = x[(outer * shape.extent + index[i]) * shape.inner + inner];
  y[i] = v;
}

/// A thread for each line along the axis, which puts one element after the other: the order is that of the index.
template <class T, class Y, bool kAdd>
RETORT_KERNEL void scatter_along(In<T> x, In<std::int64_t> index, Out<Y> y, AlongAxis shape) {
  const std::int64_t line = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (line >= shape.outer * shape.inner) return;
  const std::int64_t outer = line / shape.inner, inner = line % shape.inner;
  for (std::int64_t k = 0; k < shape.count; ++k) {
    const std::int64_t from = (outer * shape.count + k) * shape.inner + inner;
    const std::int64_t to = (outer * shape.extent + index[from]) * shape.inner + inner;
    if constexpr (kAdd) {
      const Y sum = static_cast<Y>(y[to]) + widen(static_cast<T>(x[from]));
      y[to] = sum;
    } else {
      const T v = x[from];
      y[to] = v;
    }
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
