// cuda_kernels/sort.h -- stable order of the elements of rows.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// values and places [rows, count]: the first `count` of each row of x [rows, columns] (f32 or bf16, dense) in order,
/// equal ones by place. NaN lies above everything and -0 at 0; columns lie below 2^32.
struct Sort {
  Type type;
  const void* x;
  void* values;
  std::int64_t* places;
  std::int64_t rows, columns, count;
  bool descending = false;
  std::uint64_t* scratch = nullptr;  ///< 2 rows columns
};
RETORT_LAUNCHER(sort, Sort)

}  // namespace retort::kernels
