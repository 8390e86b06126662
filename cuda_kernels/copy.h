// cuda_kernels/copy.h -- copies between layouts and element types.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y = x converted, over `shape`: its `first` steps are x's, its `second` y's. Any two types; what is not
/// 0 becomes true.
struct Copy {
  Type from, to;
  const void* x;
  void* y;
  StridedPair shape;
};
RETORT_LAUNCHER(copy, Copy)

}  // namespace retort::kernels
