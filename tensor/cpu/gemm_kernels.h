// tensor/cpu/gemm_kernels.h -- one tile of a matrix product on one thread: the library calls below tensor/cpu/gemm.
#pragma once
#include <cstdint>

#include "tensor/cpu/engine.h"
#include "tensor/dtype.h"

namespace retort::cpu {

/// A tile operand with one unit stride: row-major with row stride `ld`, or, when `transposed`, column-major.
template <class T>
struct TileOperand {
  const T* data;
  std::int64_t ld;
  bool transposed;
};

/// C = alpha * A B + beta * C on the calling thread, which must be inside parallel_tasks or a SingleThreaded scope.
/// All extents are positive. C is not read when beta is 0.
void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, TileOperand<float> a,
                  TileOperand<float> b, float beta, float* c, std::int64_t ldc, Engine engine);
void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, TileOperand<double> a,
                  TileOperand<double> b, double beta, double* c, std::int64_t ldc, Engine engine);

/// Whether `engine` multiplies bf16 operands without widening them first.
bool multiplies_bf16(Engine engine);
/// C = A B, or C += A B with `accumulate`; only where multiplies_bf16(Engine::onednn).
void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, TileOperand<BFloat16> a, TileOperand<BFloat16> b,
                  bool accumulate, float* c, std::int64_t ldc);

}  // namespace retort::cpu
