// cuda_kernels/resize.h -- resampling of images by sparse weights along both axes.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// How an axis is resampled: output o is the sum over k < count[o] of weights[at[o] + k] times input first[o] + k.
struct ResampleAxis {
  std::int64_t outputs, inputs;
  const std::int64_t *first, *count, *at;
  const float* weights;
};

/// y [images, rows.outputs, columns.outputs, channels] from x [images, rows.inputs, columns.inputs, channels], f32 or
/// bf16: rows are combined first, then columns, in f32.
struct Resize {
  Type type;
  const void* x;
  void* y;
  std::int64_t images, channels;
  ResampleAxis rows, columns;
};
RETORT_LAUNCHER(resize, Resize)

}  // namespace retort::kernels
