// cuda_kernels/reduce.h -- sums and extremes of matrices, along rows, along columns, of everything.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

enum class Reduction : std::uint8_t { sum, max, min };
enum class ReduceAxis : std::uint8_t {
  row,     ///< y [rows]: each row becomes a number
  column,  ///< y [columns]
  all      ///< y [1]
};

/// y = reduction of x [rows, columns] (f32 or bf16, dense), accumulated in f32 in an order that only the sizes decide;
/// a sum is divided by `divisor` before it is rounded. Extremes are NaN where an element is.
struct Reduce {
  Reduction reduction;
  ReduceAxis axis;
  Type type;
  const void* x;
  void* y;
  std::int64_t rows, columns;
  float divisor = 1;
  float* scratch = nullptr;  ///< reduce_scratch() floats
};
std::int64_t reduce_scratch(ReduceAxis axis, std::int64_t rows, std::int64_t columns);
RETORT_LAUNCHER(reduce, Reduce)

/// y [rows] = the first place in each row of x [rows, columns] (f32 or bf16, dense) that holds its largest element, or
/// its smallest; a NaN counts as either.
struct ExtremeIndex {
  bool largest;
  Type type;
  const void* x;
  std::int64_t* y;
  std::int64_t rows, columns;
};
RETORT_LAUNCHER(extreme_index, ExtremeIndex)

/// y [1] = sum a b over n elements (f32 or bf16), products and sums in f64, in an order that only n decides.
struct InnerProduct {
  Type type;
  const void *a, *b;
  double* y;
  std::int64_t n;
  double* scratch = nullptr;  ///< inner_product_scratch() doubles
};
std::int64_t inner_product_scratch(std::int64_t n);
RETORT_LAUNCHER(inner_product, InnerProduct)

}  // namespace retort::kernels
