// cuda_kernels/gemm.cuh -- bodies of matrix products: tiles of both operands go through shared memory.
#pragma once
#include "cuda_kernels/activation.cuh"
#include "cuda_kernels/gemm.h"

namespace retort::kernels::RETORT_BACKEND {

/// Where an operand's element (row, column) lies.
struct Steps {
  std::int64_t row, column;
};

inline constexpr int kTile = 64;      ///< rows and columns of y per block
inline constexpr int kDepth = 16;     ///< of k per round, in f32
inline constexpr int kPerThread = 4;  ///< rows and columns of y per thread, in f32
inline constexpr unsigned kGemmThreads = 256;
inline constexpr int kTileRow = kTile + 4;  ///< padded, so that stores along k meet different banks

/// A thread adds a 4 x 4 piece of y.
RETORT_DEVICE void load_tile(Shared<float> tile, In<float> from, Steps steps, std::int64_t first, std::int64_t count,
                             std::int64_t depth, std::int64_t depths) {
  for (int e = static_cast<int>(thread_index().x); e < kTile * kDepth; e += kGemmThreads) {
    // Neighbouring threads read along the operand's closer axis.
    const bool along_depth = steps.column == 1;
    const int d = along_depth ? e % kDepth : e / kTile, r = along_depth ? e / kDepth : e % kTile;
    const bool inside = first + r < count && depth + d < depths;
    tile[d * kTileRow + r] =
        inside ? static_cast<float>(from[(first + r) * steps.row + (depth + d) * steps.column]) : 0.0f;
  }
}

template <class Y>
RETORT_DEVICE void finish(Out<Y> y, In<float> bias, std::int64_t row, std::int64_t column, std::int64_t m,
                          std::int64_t n, Activation activation, bool add, float value) {
  if (row >= m || column >= n) return;
  if (bias) value += bias[column];
  value = activate(activation, value);
  if (add) value += widen(static_cast<Y>(y[row * n + column]));
  y[row * n + column] = narrow<Y>(value);
}

template <class T>
RETORT_KERNEL void gemm_f32(In<T> a, In<T> b, In<float> bias, Out<T> y, std::int64_t m, std::int64_t n, std::int64_t k,
                            Steps a_steps, Steps b_steps, Activation activation, bool add) {
  RETORT_SHARED(float, left, kDepth* kTileRow);
  RETORT_SHARED(float, right, kDepth* kTileRow);
  const int t = static_cast<int>(thread_index().x), r0 = t / 16 * kPerThread, c0 = t % 16 * kPerThread;
  const std::int64_t row = std::int64_t{block_index().y} * kTile, column = std::int64_t{block_index().x} * kTile;
  float sum[kPerThread][kPerThread] = {};
  for (std::int64_t depth = 0; depth < k; depth += kDepth) {
    load_tile(left, a, a_steps, row, m, depth, k);
    load_tile(right, b, {b_steps.column, b_steps.row}, column, n, depth, k);
    sync_block();
    for (int d = 0; d < kDepth; ++d) {
      float x[kPerThread], w[kPerThread];
      RETORT_UNROLL
      for (int i = 0; i < kPerThread; ++i) {
        x[i] = left[d * kTileRow + r0 + i];
        w[i] = right[d * kTileRow + c0 + i];
      }
      RETORT_UNROLL
      for (int i = 0; i < kPerThread; ++i) RETORT_UNROLL
      for (int j = 0; j < kPerThread; ++j) sum[i][j] = fmaf(x[i], w[j], sum[i][j]);
    }
    sync_block();
  }
  RETORT_UNROLL
  for (int i = 0; i < kPerThread; ++i) RETORT_UNROLL
  for (int j = 0; j < kPerThread; ++j)
    finish<T>(y, bias, row + r0 + i, column + c0 + j, m, n, activation, add, sum[i][j]);
}

inline constexpr unsigned kMmaThreads = 128;  ///< four warps, each with 32 x 32 of y
inline constexpr int kMmaDepth = 32;
inline constexpr int kMmaRow = kMmaDepth + 8;  ///< padded: the rows that a fragment reads meet different banks

/// Rows of the tile are rows of a, or columns of b; k runs along them.
template <class T>
RETORT_DEVICE void load_mma_tile(Shared<T> tile, In<T> from, Steps steps, std::int64_t first, std::int64_t count,
                                 std::int64_t depth, std::int64_t depths) {
  for (int e = static_cast<int>(thread_index().x); e < kTile * kMmaDepth; e += kMmaThreads) {
    const bool along_depth = steps.column == 1;
    const int d = along_depth ? e % kMmaDepth : e / kTile, r = along_depth ? e / kMmaDepth : e % kTile;
    const bool inside = first + r < count && depth + d < depths;
    T v = narrow<T>(0.0f);
    if (inside) v = from[(first + r) * steps.row + (depth + d) * steps.column];
    tile[r * kMmaRow + d] = v;
  }
}

template <class T, class Y>
RETORT_KERNEL void gemm_mma(In<T> a, In<T> b, In<float> bias, Out<Y> y, std::int64_t m, std::int64_t n, std::int64_t k,
                            Steps a_steps, Steps b_steps, Activation activation, bool add) {
  RETORT_SHARED(T, left, kTile * kMmaRow);
  RETORT_SHARED(T, right, kTile * kMmaRow);
  const int t = static_cast<int>(thread_index().x), lane = t % 32, warp = t / 32;
  const int r0 = warp / 2 * 32, c0 = warp % 2 * 32;  // of the warp's piece
  const int group = lane / 4, pair = lane % 4 * 2;
  const std::int64_t row = std::int64_t{block_index().y} * kTile, column = std::int64_t{block_index().x} * kTile;
  MmaC sum[2][4] = {};
  for (std::int64_t depth = 0; depth < k; depth += kMmaDepth) {
    load_mma_tile<T>(left, a, a_steps, row, m, depth, k);
    load_mma_tile<T>(right, b, {b_steps.column, b_steps.row}, column, n, depth, k);
    sync_block();
    RETORT_UNROLL
    for (int d = 0; d < kMmaDepth; d += 16) {
      MmaA x[2];
      MmaB w[4];
      RETORT_UNROLL
      for (int i = 0; i < 2; ++i) RETORT_UNROLL
      for (int q = 0; q < 4; ++q)
        x[i].pair[q] = load_pair(left + (r0 + 16 * i + group + q % 2 * 8) * kMmaRow + d + pair + q / 2 * 8);
      RETORT_UNROLL
      for (int j = 0; j < 4; ++j) RETORT_UNROLL
      for (int q = 0; q < 2; ++q) w[j].pair[q] = load_pair(right + (c0 + 8 * j + group) * kMmaRow + d + pair + q * 8);
      RETORT_UNROLL
      for (int i = 0; i < 2; ++i) RETORT_UNROLL
      for (int j = 0; j < 4; ++j) mma<T>(sum[i][j], x[i], w[j]);
    }
    sync_block();
  }
  RETORT_UNROLL
  for (int i = 0; i < 2; ++i) RETORT_UNROLL
  for (int j = 0; j < 4; ++j) RETORT_UNROLL
  for (int e = 0; e < 4; ++e)
    finish<Y>(y, bias, row + r0 + 16 * i + group + e / 2 * 8, column + c0 + 8 * j + pair + e % 2, m, n, activation, add,
              sum[i][j].value[e]);
}

}  // namespace retort::kernels::RETORT_BACKEND
