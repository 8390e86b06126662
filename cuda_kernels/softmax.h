// cuda_kernels/softmax.h -- softmax and log-softmax of rows, with their backward passes.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y [rows, columns] = softmax(x) or its logarithm; f32 or bf16, computed in f32. Entries of -infinity get 0, also
/// where a row has no others.
struct Softmax {
  Type type;
  const void* x;
  void* y;
  std::int64_t rows, columns;
  bool log = false;
};
RETORT_LAUNCHER(softmax, Softmax)

/// y [rows] = log sum e^x of each row; an infinite or NaN maximum is the result.
struct Logsumexp {
  Type type;
  const void* x;
  void* y;
  std::int64_t rows, columns;
};
RETORT_LAUNCHER(logsumexp, Logsumexp)

/// dx from the forward's result y: y (dy - sum y dy), or dy - e^y sum dy for the logarithm.
struct SoftmaxBackward {
  Type type;
  const void *y, *dy;
  void* dx;
  std::int64_t rows, columns;
  bool log = false;
};
RETORT_LAUNCHER(softmax_backward, SoftmaxBackward)

}  // namespace retort::kernels
