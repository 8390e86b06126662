// cuda_kernels/rows.cuh -- what kernels share that give a block to a row.
#pragma once
#include "cuda_kernels/device.cuh"
#include "tensor/math.h"

namespace retort::kernels::RETORT_BACKEND {

inline constexpr unsigned kMaxRowThreads = 512;
inline constexpr unsigned kRowWarps = kMaxRowThreads / kWarpSize;

/// One block per row, of as many whole warps as its columns keep busy.
inline gpu::LaunchShape row_shape(std::int64_t rows, std::int64_t columns) {
  unsigned threads = kWarpSize;
  while (threads < kMaxRowThreads && threads < columns) threads *= 2;
  return {{blocks_for(rows, 1)}, {threads}};
}

/// f(i) for this thread's columns.
template <class F>
RETORT_DEVICE void each_column(std::int64_t columns, F f) {
  for (std::int64_t i = thread_index().x; i < columns; i += block_extent().x) f(i);
}

/// The sum over the block of what f(i) gives at each column, and the maximum.
template <class F>
RETORT_DEVICE float row_sum(std::int64_t columns, Shared<float> partial, F f) {
  float sum = 0;
  for (std::int64_t i = thread_index().x; i < columns; i += block_extent().x) sum += f(i);
  return block_reduce(sum, AddJoin{}, partial);
}
template <class F>
RETORT_DEVICE float row_max(std::int64_t columns, Shared<float> partial, F f) {
  float top = -__builtin_inff();
  for (std::int64_t i = thread_index().x; i < columns; i += block_extent().x) top = MaxJoin{}(top, f(i));
  return block_reduce(top, MaxJoin{}, partial);
}
/// A maximum that can be subtracted: 0 for a row of nothing but -infinity.
RETORT_DEVICE float finite_shift(float top) { return top == -__builtin_inff() ? 0.0f : top; }

/// Element i of a row, widened.
template <class P>
RETORT_DEVICE float at(P row, std::int64_t i) {
  return widen(row[i]);
}

}  // namespace retort::kernels::RETORT_BACKEND
