// cuda_kernels/bias_activation.h -- a bias for every column, then an activation.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y = activation(x + bias) for x [rows, columns] (f32 or bf16); bias [columns] is f32 and may be absent.
struct BiasActivation {
  Type type;
  Activation activation;
  const void* x;
  const float* bias;
  void* y;
  std::int64_t rows, columns;
};
RETORT_LAUNCHER(bias_activation, BiasActivation)

/// dx = dy activation'(x + bias). The bias's gradient is the sum of dx over rows (reduce.h).
struct BiasActivationBackward {
  Type type;
  Activation activation;
  const void *x, *dy;
  const float* bias;
  void* dx;
  std::int64_t rows, columns;
};
RETORT_LAUNCHER(bias_activation_backward, BiasActivationBackward)

}  // namespace retort::kernels
