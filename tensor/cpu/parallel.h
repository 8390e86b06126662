// tensor/cpu/parallel.h -- the one way kernels go parallel: OpenMP over blocks whose size never depends on the number
// of threads, so that every thread count computes the same bits.
#pragma once
#include <algorithm>
#include <cstdint>
#include <exception>

namespace retort::cpu {

/// Calls f(begin, end) for the blocks [0, grain), [grain, 2 grain), ... of [0, n), in parallel when there are several.
/// The first exception thrown by a block is rethrown on the calling thread.
template <class F>
void parallel_for(std::int64_t n, std::int64_t grain, F&& f) {
  if (n <= 0) return;
  const std::int64_t blocks = (n + grain - 1) / grain;
  if (blocks == 1) {
    f(std::int64_t{0}, n);
    return;
  }
  std::exception_ptr error;
#pragma omp parallel for schedule(static)
  for (std::int64_t b = 0; b < blocks; ++b) {
    try {
      f(b * grain, std::min(n, (b + 1) * grain));
    } catch (...) {
#pragma omp critical(retort_parallel_for)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace retort::cpu
