// cuda_kernels/embedding.cuh -- bodies of gather and scatter-add.
#pragma once
#include "cuda_kernels/device.cuh"
#include "cuda_kernels/embedding.h"

namespace retort::kernels::RETORT_BACKEND {

template <class T>
RETORT_KERNEL void gather(In<T> table, In<std::int64_t> index, Out<T> y, std::int64_t width) {
  const std::int64_t i = block_index().x, row = index[i];
  for (std::int64_t c = thread_index().x; c < width; c += block_extent().x) {
    const T v = table[row * width + c];
    y[i * width + c] = v;
  }
}

inline constexpr unsigned kScatterThreads = 128;
inline constexpr unsigned kScatterWarps = kScatterThreads / kWarpSize;

/// Block i adds every row that shares its index, if none before it does: all others leave. No atomics and no sorting; a
/// block reads all indices, which are few beside the rows.
template <class T>
RETORT_KERNEL void scatter_add(In<T> rows, In<std::int64_t> index, Out<float> table, std::int64_t count,
                               std::int64_t width) {
  RETORT_SHARED(unsigned, votes, kScatterWarps);
  const std::int64_t self = block_index().x, wanted = index[self];
  const unsigned t = thread_index().x;
  for (std::int64_t begin = 0; begin < count; begin += kScatterThreads) {
    const std::int64_t j = begin + t;
    const unsigned vote = ballot(kFullWarp, j < count && index[j] == wanted);
    if (t % kWarpSize == 0) votes[t / kWarpSize] = vote;
    sync_block();
    for (unsigned w = 0; w < kScatterWarps; ++w) {
      unsigned same = votes[w];
      for (; same != 0; same &= same - 1) {
        unsigned bit = 0;
        while ((same >> bit & 1u) == 0) ++bit;
        const std::int64_t row = begin + w * kWarpSize + bit;
        if (row < self) return;  // the whole block: an earlier one does the work
        for (std::int64_t c = t; c < width; c += kScatterThreads) {
          const float sum = table[wanted * width + c] + widen(static_cast<T>(rows[row * width + c]));
          table[wanted * width + c] = sum;
        }
      }
    }
    sync_block();
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
