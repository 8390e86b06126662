// cuda_kernels/distance.h -- distances between all rows of two sets of points.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y [batches, n, m] = sum_k (a_ik - b_jk)^2, or of |a_ik - b_jk| when `absolute`; a [batches, n, d], b [batches, m,
/// d], all f32 and dense. Differences are summed: nothing cancels where points are close.
struct Distance {
  const float *a, *b;
  float* y;
  std::int64_t batches, n, m, d;
  bool absolute = false;
};
RETORT_LAUNCHER(distance, Distance)

/// da_ik = sum_j g_ij sign(a_ik - b_jk) for g [batches, n, m], whose steps g_row and g_column allow its transpose: with
/// a and b exchanged, db.
struct AbsoluteDistanceBackward {
  const float *a, *b, *g;
  float* da;
  std::int64_t batches, n, m, d, g_row, g_column;
};
RETORT_LAUNCHER(absolute_distance_backward, AbsoluteDistanceBackward)

}  // namespace retort::kernels
