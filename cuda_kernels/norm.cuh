// cuda_kernels/norm.cuh -- bodies of the row norms.
#pragma once
#include "cuda_kernels/norm.h"
#include "cuda_kernels/rows.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class T, bool kCentred>
RETORT_KERNEL void norm_rows(In<T> x, In<float> weight, In<float> bias, Out<T> y, Out<float> mean, Out<float> rstd,
                             std::int64_t columns, float eps) {
  RETORT_SHARED(float, partial, kRowWarps);
  const auto row = x + block_index().x * columns;
  const auto out = y + block_index().x * columns;
  const float inverse = 1.0f / static_cast<float>(columns);
  const float centre =
      kCentred ? row_sum(columns, partial, [&](std::int64_t i) { return at(row, i); }) * inverse : 0.0f;
  const float square = row_sum(columns, partial, [&](std::int64_t i) {
    const float d = at(row, i) - centre;
    return d * d;
  });
  const float scale = 1.0f / sqrtf(square * inverse + eps);
  each_column(columns, [&](std::int64_t i) {
    float v = (at(row, i) - centre) * scale;
    if (weight) v = v * weight[i];
    if (kCentred && bias) v = v + bias[i];
    out[i] = narrow<T>(v);
  });
  if (thread_index().x == 0) {
    if (kCentred) mean[block_index().x] = centre;
    rstd[block_index().x] = scale;
  }
}

template <class T, bool kCentred>
RETORT_KERNEL void norm_backward_rows(In<T> x, In<T> dy, In<float> weight, In<float> mean, In<float> rstd, Out<T> dx,
                                      std::int64_t columns) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t start = block_index().x * columns;
  const auto row = x + start, slope = dy + start;
  const auto out = dx + start;
  const float inverse = 1.0f / static_cast<float>(columns), scale = rstd[block_index().x];
  const float centre = kCentred ? static_cast<float>(mean[block_index().x]) : 0.0f;
  const auto g = [&](std::int64_t i) { return weight ? at(slope, i) * weight[i] : at(slope, i); };
  const auto xhat = [&](std::int64_t i) { return (at(row, i) - centre) * scale; };
  const float along = row_sum(columns, partial, [&](std::int64_t i) { return g(i) * xhat(i); }) * inverse;
  const float level = kCentred ? row_sum(columns, partial, g) * inverse : 0.0f;
  each_column(columns, [&](std::int64_t i) { out[i] = narrow<T>(scale * (g(i) - level - xhat(i) * along)); });
}

inline constexpr unsigned kStrips = 8;

/// Block (c, b): sums over rows [b n, (b + 1) n) of dy xhat and dy, for 32 columns; piece b of `weights` and `biases`.
template <class T, bool kCentred>
RETORT_KERNEL void norm_backward_columns(In<T> x, In<T> dy, In<float> mean, In<float> rstd, Out<float> weights,
                                         Out<float> biases, std::int64_t rows, std::int64_t columns, std::int64_t n) {
  RETORT_SHARED(float, partial_weight, kStrips* kWarpSize);
  RETORT_SHARED(float, partial_bias, kStrips* kWarpSize);
  const unsigned t = thread_index().x, lane = t % kWarpSize, strip = t / kWarpSize;
  const std::int64_t column = std::int64_t{block_index().x} * kWarpSize + lane;
  const std::int64_t begin = block_index().y * n, end = begin + n < rows ? begin + n : rows;
  float w = 0, b = 0;
  if (column < columns)
    for (std::int64_t r = begin + strip; r < end; r += kStrips) {
      const float slope = at(dy, r * columns + column);
      const float centre = kCentred ? static_cast<float>(mean[r]) : 0.0f;
      w += slope * ((at(x, r * columns + column) - centre) * rstd[r]);
      b += slope;
    }
  partial_weight[t] = w;
  partial_bias[t] = b;
  sync_block();
  if (strip != 0 || column >= columns) return;
  for (unsigned s = 1; s < kStrips; ++s) {
    w += partial_weight[s * kWarpSize + lane];
    b += partial_bias[s * kWarpSize + lane];
  }
  weights[block_index().y * columns + column] = w;
  biases[block_index().y * columns + column] = b;
}

/// y[c] = sum over pieces, in order.
template <class T>
RETORT_KERNEL void add_pieces(In<T> pieces, Out<T> y, std::int64_t columns, std::int64_t count) {
  const std::int64_t column = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (column >= columns) return;
  T sum = 0;
  for (std::int64_t p = 0; p < count; ++p) sum += pieces[p * columns + column];
  y[column] = sum;
}

}  // namespace retort::kernels::RETORT_BACKEND
