// cuda_kernels/reduce.cuh -- bodies of reductions.
#pragma once
#include "cuda_kernels/device.cuh"
#include "cuda_kernels/reduce.h"

namespace retort::kernels::RETORT_BACKEND {

inline constexpr unsigned kReduceThreads = 256;

struct SumReduction {
  using Join = AddJoin;
  static constexpr float identity = 0;
};
struct MaxReduction {
  using Join = MaxJoin;
  static constexpr float identity = -__builtin_inff();
};
struct MinReduction {
  using Join = MinJoin;
  static constexpr float identity = __builtin_inff();
};

/// Block b: elements [b n, (b + 1) n) of `total`, read by the block in strides.
template <class R, class T, class Y>
RETORT_KERNEL void reduce_runs(In<T> x, Out<Y> y, std::int64_t n, std::int64_t total, float divisor) {
  RETORT_SHARED(float, partial, kReduceThreads / kWarpSize);
  const std::int64_t begin = block_index().x * n, end = begin + n < total ? begin + n : total;
  typename R::Join join;
  float value = R::identity;
  for (std::int64_t i = begin + thread_index().x; i < end; i += block_extent().x)
    value = join(value, widen(static_cast<T>(x[i])));
  value = block_reduce(value, join, partial);
  if (thread_index().x == 0) y[block_index().x] = narrow<Y>(value / divisor);
}

/// Block (c, b): 32 columns of rows [b n, (b + 1) n), eight rows side by side.
template <class R, class T, class Y>
RETORT_KERNEL void reduce_columns(In<T> x, Out<Y> y, std::int64_t rows, std::int64_t columns, std::int64_t n,
                                  float divisor) {
  RETORT_SHARED(float, partial, kReduceThreads);
  const unsigned t = thread_index().x, lane = t % kWarpSize, strip = t / kWarpSize;
  const std::int64_t column = std::int64_t{block_index().x} * kWarpSize + lane;
  const std::int64_t begin = block_index().y * n, end = begin + n < rows ? begin + n : rows;
  typename R::Join join;
  float value = R::identity;
  if (column < columns)
    for (std::int64_t r = begin + strip; r < end; r += kReduceThreads / kWarpSize)
      value = join(value, widen(static_cast<T>(x[r * columns + column])));
  partial[t] = value;
  sync_block();
  if (strip != 0 || column >= columns) return;
  for (unsigned s = 1; s < kReduceThreads / kWarpSize; ++s)
    value = join(value, static_cast<float>(partial[s * kWarpSize + lane]));
  y[block_index().y * columns + column] = narrow<Y>(value / divisor);
}

/// Block b: row b, read twice: the extreme, then the first place that holds it.
template <class R, class T>
RETORT_KERNEL void extreme_index_rows(In<T> x, Out<std::int64_t> y, std::int64_t columns) {
  RETORT_SHARED(float, partial, kReduceThreads / kWarpSize);
  RETORT_SHARED(std::int64_t, first_partial, kReduceThreads / kWarpSize);
  const auto row = x + block_index().x * columns;
  typename R::Join join;
  float value = R::identity;
  for (std::int64_t i = thread_index().x; i < columns; i += block_extent().x)
    value = join(value, widen(static_cast<T>(row[i])));
  value = block_reduce(value, join, partial);
  std::int64_t first = columns;
  for (std::int64_t i = thread_index().x; i < columns && first == columns; i += block_extent().x) {
    const float v = widen(static_cast<T>(row[i]));
    if (v == value || v != v) first = i;
  }
  first = block_reduce(first, MinJoin{}, first_partial);
  if (thread_index().x == 0) y[block_index().x] = first;
}

/// Block b: the products of elements [b n, (b + 1) n) of `total`.
template <class T>
RETORT_KERNEL void inner_product_runs(In<T> a, In<T> b, Out<double> y, std::int64_t n, std::int64_t total) {
  RETORT_SHARED(double, partial, kReduceThreads / kWarpSize);
  const std::int64_t begin = block_index().x * n, end = begin + n < total ? begin + n : total;
  double value = 0;
  for (std::int64_t i = begin + thread_index().x; i < end; i += block_extent().x)
    value += static_cast<double>(widen(static_cast<T>(a[i]))) * static_cast<double>(widen(static_cast<T>(b[i])));
  value = block_reduce(value, AddJoin{}, partial);
  if (thread_index().x == 0) y[block_index().x] = value;
}

/// One block: the sum of n numbers.
RETORT_KERNEL void add_runs(In<double> x, Out<double> y, std::int64_t n) {
  RETORT_SHARED(double, partial, kReduceThreads / kWarpSize);
  double value = 0;
  for (std::int64_t i = thread_index().x; i < n; i += block_extent().x) value += static_cast<double>(x[i]);
  value = block_reduce(value, AddJoin{}, partial);
  if (thread_index().x == 0) y[0] = value;
}

}  // namespace retort::kernels::RETORT_BACKEND
