// tensor/cpu/gemm.h -- matrix products on the CPU over raw pointers: any strides, batches with broadcasting, all
// floats.
#pragma once
#include <cstdint>
#include <span>

#include "tensor/cpu/engine.h"
#include "tensor/dtype.h"

namespace retort::cpu {

/// A matrix operand: element (i, j) lies at data[i * row_stride + j * col_stride]. Strides may be anything, 0 included;
/// operands with one unit stride (row-major, column-major and their slices) are read in place, others through a packed
/// copy of one tile at a time.
template <class T>
struct MatrixView {
  const T* data;
  std::int64_t row_stride;
  std::int64_t col_stride;
};

/// One axis of a batch of products: its extent and the step, in elements, of each operand along it. A step of 0
/// broadcasts A or B; C's steps must lead to disjoint matrices.
struct BatchAxis {
  std::int64_t extent;
  std::int64_t a_stride;
  std::int64_t b_stride;
  std::int64_t c_stride;
};

/// C = alpha * A B + beta * C with A [m, k], B [k, n] and C [m, n] row-major, row i at c + i * ldc. C is not read when
/// beta is 0; k = 0 gives beta * C. 16-bit inputs are accumulated in f32 and rounded once. The result does not depend
/// on the number of OpenMP threads: tiles, and slices of a long k with few outputs, follow from the sizes alone.
/// (In, Out) is one of (f64, f64), (f32, f32), (bf16, bf16), (bf16, f32), (f16, f16), (f16, f32).
template <class In, class Out>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, MatrixView<In> a, MatrixView<In> b, double beta,
          Out* c, std::int64_t ldc, Engine engine = kDefaultEngine);

/// The same for every index of the batch axes, outermost first; no axes means one product.
template <class In, class Out>
void gemm_batched(std::span<const BatchAxis> batch, std::int64_t m, std::int64_t n, std::int64_t k, double alpha,
                  MatrixView<In> a, MatrixView<In> b, double beta, Out* c, std::int64_t ldc,
                  Engine engine = kDefaultEngine);

}  // namespace retort::cpu
