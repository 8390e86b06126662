// cuda_kernels/border.h -- tensors whose elements are read, or summed, by tables along each axis: borders, rolls.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y[p0, p1, ..] = x[table0[p0], table1[p1], ..] for elements of 1, 2, 4 or 8 bytes; `shape` is y's, its `first` steps
/// are x's, its `second` y's. Table `axis` begins at tables[begin[axis]] and has an entry for each place of y.
struct ReadByTables {
  int element_bytes;
  const void* x;
  void* y;
  StridedPair shape;
  const std::int64_t* tables;
  std::int64_t begin[kMaxRank] = {};
};
RETORT_LAUNCHER(read_by_tables, ReadByTables)

/// The adjoint, f32 or bf16, summed in f32 in the order of x: y[q0, q1, ..] = sum of x[p0, p1, ..] over the p that
/// read q. For place q of an axis they are tables[tables[begin[axis] + q]] up to that of q + 1.
struct SumByTables {
  Type type;
  const void* x;
  void* y;
  StridedPair shape;  ///< of y; `first` are x's steps
  const std::int64_t* tables;
  std::int64_t begin[kMaxRank] = {};
};
RETORT_LAUNCHER(sum_by_tables, SumByTables)

}  // namespace retort::kernels
