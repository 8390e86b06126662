// cuda_kernels/write.h -- writes in place: a number everywhere, sums into a tensor, a factor.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y = value over `shape`, whose `second` steps are y's. Any type.
struct Fill {
  Type type;
  void* y;
  double value;
  StridedPair shape;
};
RETORT_LAUNCHER(fill, Fill)

/// y += x in y's type, computed in f32 for 16-bit floats; `first` steps are x's, `second` y's. f64, f32, f16, bf16.
struct Accumulate {
  Type from, to;
  const void* x;
  void* y;
  StridedPair shape;
};
RETORT_LAUNCHER(accumulate, Accumulate)

/// y *= factor, computed as above; `second` steps are y's. The factor lies in device memory.
struct Scale {
  Type type;
  void* y;
  const double* factor;
  StridedPair shape;
};
RETORT_LAUNCHER(scale, Scale)

}  // namespace retort::kernels
