// cuda_kernels/gemm.h -- matrix products with an epilogue.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y [m, n] = activation(a b + bias), a [m, k] and b [k, n] with any steps (so either may be transposed), y dense,
/// bias [n] f32 or absent; with `add`, y is added to. f32: products and sums in f32. bf16 and f16: products on tensor
/// cores, sums in f32, y in the operands' type or, with `wide`, in f32.
struct Gemm {
  Type type;
  const void *a, *b;
  std::int64_t a_row, a_column, b_row, b_column;  ///< steps in elements
  const float* bias;
  void* y;
  std::int64_t m, n, k;
  Activation activation = Activation::none;
  bool wide = false;
  bool add = false;
};
RETORT_LAUNCHER(gemm, Gemm)

}  // namespace retort::kernels
