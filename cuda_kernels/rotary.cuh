// cuda_kernels/rotary.cuh -- bodies of rotary position embedding: a table of cosines and sines, then a thread per pair
// or feature that stays.
#pragma once
#include "cuda_kernels/rotary.h"
#include "cuda_kernels/strided.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// Row p of the table: a cosine for every pair, then as many sines.
RETORT_KERNEL void rotary_table(In<std::int64_t> positions, In<double> rates, Out<float> table, std::int64_t count,
                                std::int64_t pairs, bool inverse) {
  const std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= count * pairs) return;
  const std::int64_t p = e / pairs, i = e % pairs;
  const double angle = static_cast<double>(static_cast<std::int64_t>(positions[p])) * static_cast<double>(rates[i]);
  const double sine = sin(angle);
  table[2 * p * pairs + i] = static_cast<float>(cos(angle));
  table[(2 * p + 1) * pairs + i] = static_cast<float>(inverse ? -sine : sine);
}

/// A row: how many features, of them pairs that turn, and its steps.
struct TurningRow {
  std::int64_t width, pairs, x, y;
};
/// A thread turns a pair, or copies a feature that stays. The second steps of `numbers` give a row's place in the
/// table.
template <class T>
RETORT_KERNEL void rotary_pairs(In<T> x, Out<T> y, In<float> table, std::int64_t threads, StridedPair rows,
                                StridedPair numbers, TurningRow row, bool interleaved) {
  const std::int64_t each = row.width - row.pairs;
  const std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= threads) return;
  const std::int64_t i = e % each;
  const Places at = places_of(e / each, rows);
  if (i >= row.pairs) {
    y[at.second + (i + row.pairs) * row.y] = static_cast<T>(x[at.first + (i + row.pairs) * row.x]);
    return;
  }
  const std::int64_t turn = places_of(e / each, numbers).second * 2 * row.pairs;
  const float cosine = table[turn + i], sine = table[turn + row.pairs + i];
  const std::int64_t a = interleaved ? 2 * i : i, b = interleaved ? a + 1 : i + row.pairs;
  const float u = widen(static_cast<T>(x[at.first + a * row.x]));
  const float v = widen(static_cast<T>(x[at.first + b * row.x]));
  y[at.second + a * row.y] = narrow<T>(u * cosine - v * sine);
  y[at.second + b * row.y] = narrow<T>(u * sine + v * cosine);
}

}  // namespace retort::kernels::RETORT_BACKEND
