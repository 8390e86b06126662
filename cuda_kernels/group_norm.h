// cuda_kernels/group_norm.h -- group norm of channels-last images, with its backward pass.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y = (x - mean) rstd weight + bias over each sample's groups of channels: x [samples, pixels, channels] (f32 or
/// bf16), statistics [samples, groups] f32. Parameters [channels] are f32 and may be absent.
struct GroupNorm {
  Type type;
  const void* x;
  const float *weight, *bias;
  void* y;
  float *mean, *rstd;
  std::int64_t samples, pixels, channels, groups;
  float eps;
};
RETORT_LAUNCHER(group_norm, GroupNorm)

/// dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = dy weight and means over the group; dweight = sum dy xhat and
/// dbias = sum dy over samples and pixels, in an order that only sizes decide; either may be absent.
struct GroupNormBackward {
  Type type;
  const void *x, *dy;
  const float *weight, *mean, *rstd;
  void* dx;
  float *dweight, *dbias;
  std::int64_t samples, pixels, channels, groups;
  float* scratch;  ///< group_norm_scratch() floats
};
std::int64_t group_norm_scratch(std::int64_t samples, std::int64_t pixels, std::int64_t channels);
RETORT_LAUNCHER(group_norm_backward, GroupNormBackward)

}  // namespace retort::kernels
