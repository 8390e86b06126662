// tensor/cpu/tasks.h -- independent tasks over OpenMP threads, with exceptions carried out of the region.
#pragma once
#include <omp.h>

#include <atomic>
#include <cstdint>
#include <exception>

namespace retort::cpu {

/// While alive, libraries called from this thread see one OpenMP thread: kernels they pick by thread count (oneDNN
/// picks both when a primitive is created and when it runs) are then the same on every machine setting.
class SingleThreaded {
 public:
  SingleThreaded() : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThreaded() { omp_set_num_threads(saved_); }
  SingleThreaded(const SingleThreaded&) = delete;
  SingleThreaded& operator=(const SingleThreaded&) = delete;

 private:
  int saved_;
};

/// Runs task(0) ... task(count - 1), each once, on any thread and in any order. Tasks must not depend on one another;
/// then results do not depend on the number of threads. The first exception thrown by a task is rethrown here, and
/// tasks not yet begun are dropped.
template <class Task>
void parallel_tasks(std::int64_t count, const Task& task) {
  if (count <= 1 || omp_get_max_threads() == 1 || omp_in_parallel()) {
    const SingleThreaded scope;
    for (std::int64_t i = 0; i < count; ++i) task(i);
    return;
  }
  std::exception_ptr error;
  std::atomic<bool> failed{false};
#pragma omp parallel for schedule(dynamic, 1)
  for (std::int64_t i = 0; i < count; ++i) {
    if (failed.load(std::memory_order_relaxed)) continue;
    try {
      const SingleThreaded scope;
      task(i);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace retort::cpu
