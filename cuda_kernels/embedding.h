// cuda_kernels/embedding.h -- rows of a table by index, and their gradient.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y[i] = table[index[i]] for `count` rows of `width`; f32 or bf16. Indices lie in the table: the caller checks.
struct Gather {
  Type type;
  const void* table;
  const std::int64_t* index;
  void* y;
  std::int64_t count, width;
};
RETORT_LAUNCHER(gather_rows, Gather)

/// table[index[i]] += rows[i] for an f32 table; rows that share an index are added in their order, so the result is the
/// same on every run. Rows are f32 or bf16.
struct ScatterAdd {
  Type type;
  const void* rows;
  const std::int64_t* index;
  float* table;
  std::int64_t count, width;
};
RETORT_LAUNCHER(scatter_add_rows, ScatterAdd)

}  // namespace retort::kernels
