// cuda_kernels/random.cuh -- bodies of random fields: a thread makes the four elements of one counter.
#pragma once
#include "cuda_kernels/device.cuh"
#include "cuda_kernels/random.h"
#include "tensor/philox.h"

namespace retort::kernels::RETORT_BACKEND {

RETORT_DEVICE PhiloxBlock words_at(const PhiloxKey& key, std::int64_t sample, std::int64_t block) {
  return philox4x32({{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(sample), key.step, key.attempt}},
                    static_cast<std::uint32_t>(key.key), static_cast<std::uint32_t>(key.key >> 32));
}

/// What four words become.
struct BitsDraw {
  using Value = std::uint32_t;
  RETORT_DEVICE void operator()(const PhiloxBlock& words, Value* value) const {
    for (int j = 0; j < 4; ++j) value[j] = words.word[j];
  }
};
struct UniformDraw {
  using Value = float;
  RETORT_DEVICE void operator()(const PhiloxBlock& words, Value* value) const {
    for (int j = 0; j < 4; ++j) value[j] = uniform_from_word(words.word[j]);
  }
};
struct NormalDraw {
  using Value = float;
  RETORT_DEVICE void operator()(const PhiloxBlock& words, Value* value) const {
    normals_from_words(words.word[0], words.word[1], value[0], value[1]);
    normals_from_words(words.word[2], words.word[3], value[2], value[3]);
  }
};

/// Block (b, r): counters of row r.
template <class D>
RETORT_KERNEL void draw_rows(Out<typename D::Value> y, In<std::int64_t> sample_ids, In<PhiloxKey> key,
                             std::int64_t first_sample, std::int64_t elements) {
  const std::int64_t row = block_index().y;
  const std::int64_t block = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (block * 4 >= elements) return;
  const std::int64_t sample = sample_ids ? static_cast<std::int64_t>(sample_ids[row]) : first_sample + row;
  typename D::Value value[4];
  D{}(words_at(key[0], sample, block), value);
  RETORT_UNROLL
  for (int j = 0; j < 4; ++j)
    if (block * 4 + j < elements) y[row * elements + block * 4 + j] = value[j];
}

template <class T>
RETORT_KERNEL void dropout_rows(In<T> x, Out<T> y, In<std::int64_t> sample_ids, In<PhiloxKey> key,
                                std::uint32_t threshold, float scale, std::int64_t elements) {
  const std::int64_t row = block_index().y;
  const std::int64_t block = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (block * 4 >= elements) return;
  const std::int64_t sample = sample_ids ? static_cast<std::int64_t>(sample_ids[row]) : row;
  const PhiloxBlock words = words_at(key[0], sample, block);
  RETORT_UNROLL
  for (int j = 0; j < 4; ++j) {
    const std::int64_t i = row * elements + block * 4 + j;
    if (block * 4 + j >= elements) break;
    const bool dropped = (words.word[j] >> 8) < threshold;
    y[i] = narrow<T>(dropped ? 0.0f : widen(static_cast<T>(x[i])) * scale);
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
