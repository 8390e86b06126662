// cuda_kernels/along_axis.h -- elements by index along an axis: gather, scatter, scatter-add.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// Dense tensors seen as [outer, along, inner]; the indexed one has `extent` places along the axis, the index (i64) and
/// what goes with it `count`. Indices lie in [0, extent): the caller checks.
struct AlongAxis {
  std::int64_t outer, extent, count, inner;
};

/// y[o, k, i] = x[o, index[o, k, i], i] for elements of 1, 2, 4 or 8 bytes.
struct GatherElements {
  int element_bytes;
  const void* x;
  const std::int64_t* index;
  void* y;
  AlongAxis shape;
};
RETORT_LAUNCHER(gather_elements, GatherElements)

/// y[o, index[o, k, i], i] = x[o, k, i], later ones of one place over earlier ones.
struct ScatterElements {
  int element_bytes;
  const void* x;
  const std::int64_t* index;
  void* y;
  AlongAxis shape;
};
RETORT_LAUNCHER(scatter_elements, ScatterElements)

/// y[o, index[o, k, i], i] += x[o, k, i] in order of k, for f32 or bf16 x and f32 y: a thread for each line.
struct ScatterAddElements {
  Type type;
  const void* x;
  const std::int64_t* index;
  float* y;
  AlongAxis shape;
};
RETORT_LAUNCHER(scatter_add_elements, ScatterAddElements)

}  // namespace retort::kernels
