// cuda_kernels/rotary.h -- rotary position embedding.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y = x with the first `pairs` pairs of every row of `width` features turned by t rates[i], backwards when
/// `inverse`; pairs are (i, i + pairs), or (2i, 2i + 1) when interleaved. f32 or bf16, angles in f64.
struct Rotary {
  Type type;
  const void* x;
  void* y;
  const std::int64_t* positions;  ///< [count]
  const double* rates;            ///< [pairs]
  std::int64_t count, width, pairs;
  StridedPair rows;                      ///< steps of the rows of x and y
  std::int64_t position[kMaxRank] = {};  ///< steps of the number of a row's position
  std::int64_t x_step, y_step;           ///< along a row
  bool interleaved, inverse;
  float* table;  ///< scratch [count, 2 pairs]
};
RETORT_LAUNCHER(rotary, Rotary)

}  // namespace retort::kernels
