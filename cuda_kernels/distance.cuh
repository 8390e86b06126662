// cuda_kernels/distance.cuh -- bodies of distances: tiles of both sets go through shared memory.
#pragma once
#include "cuda_kernels/device.cuh"
#include "cuda_kernels/distance.h"

namespace retort::kernels::RETORT_BACKEND {

inline constexpr int kPointTile = 16;   ///< points of each set per block, a thread for every pair
inline constexpr int kPointDepth = 32;  ///< coordinates per round
inline constexpr int kPointRow = kPointDepth + 1;
inline constexpr unsigned kPointThreads = kPointTile * kPointTile;

RETORT_DEVICE void load_points(Shared<float> tile, In<float> points, std::int64_t first, std::int64_t count,
                               std::int64_t depth, std::int64_t d) {
  const int t = static_cast<int>(thread_index().x), k = t % kPointDepth;
  for (int r = t / kPointDepth; r < kPointTile; r += static_cast<int>(kPointThreads) / kPointDepth)
    if (first + r < count && depth + k < d) tile[r * kPointRow + k] = points[(first + r) * d + depth + k];
}

/// Block x: a tile of pairs of one batch, tiles of b running fastest.
template <bool kAbsolute>
RETORT_KERNEL void distance_tiles(In<float> a, In<float> b, Out<float> y, std::int64_t n, std::int64_t m,
                                  std::int64_t d) {
  RETORT_SHARED(float, left, kPointTile* kPointRow);
  RETORT_SHARED(float, right, kPointTile* kPointRow);
  const std::int64_t columns = (m + kPointTile - 1) / kPointTile, rows = (n + kPointTile - 1) / kPointTile;
  const std::int64_t tile = block_index().x, batch = tile / (columns * rows);
  const std::int64_t row = tile / columns % rows * kPointTile, column = tile % columns * kPointTile;
  const int t = static_cast<int>(thread_index().x), i = t / kPointTile, j = t % kPointTile;
  const bool inside = row + i < n && column + j < m;
  float sum = 0;
  for (std::int64_t depth = 0; depth < d; depth += kPointDepth) {
    load_points(left, a + batch * n * d, row, n, depth, d);
    load_points(right, b + batch * m * d, column, m, depth, d);
    sync_block();
    const int most = static_cast<int>(d - depth < kPointDepth ? d - depth : kPointDepth);
    for (int k = 0; inside && k < most; ++k) {
      const float apart = left[i * kPointRow + k] - right[j * kPointRow + k];
      sum = kAbsolute ? sum + fabsf(apart) : fmaf(apart, apart, sum);
    }
    sync_block();
  }
  if (inside) y[(batch * n + row + i) * m + column + j] = sum;
}

/// A thread per element of da.
RETORT_KERNEL void absolute_distance_slopes(In<float> a, In<float> b, In<float> g, Out<float> da, std::int64_t elements,
                                            std::int64_t n, std::int64_t m, std::int64_t d, std::int64_t g_row,
                                            std::int64_t g_column) {
  const std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= elements) return;
  const std::int64_t k = e % d, i = e / d % n, batch = e / (d * n);
  const float at = a[e];
  float sum = 0;
  for (std::int64_t j = 0; j < m; ++j) {
    const float other = b[(batch * m + j) * d + k];
    const float weight = g[batch * n * m + i * g_row + j * g_column];
    sum += weight * static_cast<float>((at > other) - (at < other));
  }
  da[e] = sum;
}

}  // namespace retort::kernels::RETORT_BACKEND
