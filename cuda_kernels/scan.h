// cuda_kernels/scan.h -- scans along rows: running sums, products, log-sums and linear recurrences.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

enum class ScanKind : std::uint8_t { sum, product, log_sum, recurrence };

/// y [rows, columns] = the scan of x's rows (f32 or bf16, dense), states in f32, in an order that only the sizes
/// decide; recurrence: y_t = a_t y_(t-1) + x_t. `reverse` runs from the last column; an exclusive scan (not of a
/// recurrence) leaves out the element at its own place.
struct Scan {
  ScanKind kind;
  Type type;
  const void *x, *a;  ///< a: of a recurrence
  void* y;
  std::int64_t rows, columns;
  bool reverse = false, exclusive = false;
};
RETORT_LAUNCHER(scan, Scan)

}  // namespace retort::kernels
