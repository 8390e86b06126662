// cuda_kernels/random.h -- keyed random fields and dropout: the bits of tensor/rng.h.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// A named stream's key (tensor/rng.h).
struct PhiloxKey {
  std::uint64_t key = 0;
  std::uint32_t step = 0, attempt = 0;
};

enum class Draw : std::uint8_t { bits, uniform, normal };

/// y [samples, elements]: row r holds elements 0.. of sample first_sample + r, or of sample_ids[r]. u32 words for bits,
/// else f32. At most 2^32 elements. The key lies in device memory, so that a captured step draws anew.
struct Random {
  Draw draw;
  const PhiloxKey* key;
  void* y;
  std::int64_t samples, elements;
  std::int64_t first_sample = 0;
  const std::int64_t* sample_ids = nullptr;
};
RETORT_LAUNCHER(random, Random)

/// y = x / (1 - p) where the element's draw is kept, else 0; x [samples, elements], f32 or bf16. The key lies in device
/// memory.
struct Dropout {
  Type type;
  const void* x;
  void* y;
  double p;
  const PhiloxKey* key;
  std::int64_t samples, elements;
  const std::int64_t* sample_ids = nullptr;  ///< nullptr: 0, 1, ..
};
RETORT_LAUNCHER(dropout, Dropout)

}  // namespace retort::kernels
