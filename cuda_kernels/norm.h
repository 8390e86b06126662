// cuda_kernels/norm.h -- layer norm and RMS norm of rows, with their backward passes.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y = (x - mean) rstd weight + bias over rows of x [rows, columns] (f32 or bf16); RMS norm has no mean and no bias.
/// Parameters [columns] are f32 and may be absent; mean and rstd [rows] are f32.
struct Norm {
  Type type;
  const void* x;
  const float *weight, *bias;
  void* y;
  float *mean, *rstd;  ///< mean: nullptr for RMS norm
  std::int64_t rows, columns;
  float eps;
};
RETORT_LAUNCHER(layer_norm, Norm)
RETORT_LAUNCHER(rms_norm, Norm)

/// dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy weight; dweight = sum dy xhat and dbias = sum dy over rows,
/// which may be absent. RMS norm has no mean(g).
struct NormBackward {
  Type type;
  const void *x, *dy;
  const float *weight, *mean, *rstd;
  void* dx;
  float *dweight, *dbias;
  std::int64_t rows, columns;
  float* scratch;  ///< norm_scratch() floats
};
std::int64_t norm_scratch(std::int64_t rows, std::int64_t columns);
RETORT_LAUNCHER(layer_norm_backward, NormBackward)
RETORT_LAUNCHER(rms_norm_backward, NormBackward)

}  // namespace retort::kernels
