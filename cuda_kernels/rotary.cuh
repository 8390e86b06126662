// cuda_kernels/rotary.cuh -- bodies of rotary position embedding: a table of cosines and sines, then a thread per pair.
#pragma once
#include <cmath>

#include "cuda_kernels/rotary.h"
#include "cuda_kernels/strided.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// Row p of the table: width / 2 cosines, then as many sines.
RETORT_KERNEL void rotary_table(In<std::int64_t> positions, Out<float> table, std::int64_t count, std::int64_t width,
                                double base, bool inverse) {
  const std::int64_t half = width / 2, e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= count * half) return;
  const std::int64_t p = e / half, i = e % half;
  const double rate = pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(width));
  const double angle = static_cast<double>(static_cast<std::int64_t>(positions[p])) * rate;
  const double sine = sin(angle);
  table[p * width + i] = static_cast<float>(cos(angle));
  table[p * width + half + i] = static_cast<float>(inverse ? -sine : sine);
}

/// Steps along a row.
struct RowSteps {
  std::int64_t x, y;
};
/// The second steps of `numbers` give a row's place in the table.
template <class T>
RETORT_KERNEL void rotary_pairs(In<T> x, Out<T> y, In<float> table, std::int64_t pairs, std::int64_t width,
                                StridedPair rows, StridedPair numbers, RowSteps step, bool interleaved) {
  const std::int64_t half = width / 2, e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= pairs) return;
  const std::int64_t i = e % half;
  const Places row = places_of(e / half, rows);
  const std::int64_t turn = places_of(e / half, numbers).second * width;
  const float cosine = table[turn + i], sine = table[turn + half + i];
  const std::int64_t a = interleaved ? 2 * i : i, b = interleaved ? a + 1 : i + half;
  const float u = widen(static_cast<T>(x[row.first + a * step.x]));
  const float v = widen(static_cast<T>(x[row.first + b * step.x]));
  y[row.second + a * step.y] = narrow<T>(u * cosine - v * sine);
  y[row.second + b * step.y] = narrow<T>(u * sine + v * cosine);
}

}  // namespace retort::kernels::RETORT_BACKEND
