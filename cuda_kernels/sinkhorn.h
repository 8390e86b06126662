// cuda_kernels/sinkhorn.h -- entropic transport between weights: potentials fitted to both marginals in turn.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// plan [batches, rows, columns] = exp(f_i + g_j - cost_ij / epsilon), all f32 and dense; f and g, over epsilon, are
/// fitted to row_weights [batches, rows] and column_weights [batches, columns], `iterations` times each, g from 0.
struct Sinkhorn {
  const float *cost, *row_weights, *column_weights;
  float* plan;
  float *f, *g;  ///< scratch, like the weights
  std::int64_t batches, rows, columns;
  float epsilon;
  int iterations;
};
RETORT_LAUNCHER(sinkhorn, Sinkhorn)

}  // namespace retort::kernels
