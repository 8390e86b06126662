// cuda_kernels/sort.cu -- instances and launcher of sort.
#include "cuda_kernels/sort.cuh"

namespace retort::kernels::RETORT_BACKEND {

void sort(const Sort& a, gpu::Stream stream) {
  const std::int64_t elements = a.rows * a.columns;
  if (elements == 0 || a.count == 0) return;
  if (a.columns > 0xffffffffll)
    throw gpu::StateError("sort: rows have less than 2^32 columns; got " + std::to_string(a.columns));
  std::int64_t run = 2;
  while (run < kSortedRun && run < a.columns) run *= 2;
  std::uint64_t *from = a.scratch, *to = a.scratch + elements;
  visit_training("sort", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const x = static_cast<const T*>(a.x);
    const std::int64_t blocks = a.rows * ((a.columns + run - 1) / run);
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{blocks_for(blocks, 1)}, {static_cast<unsigned>(run / 2)}}), sort_runs<T>,
                  x, from, a.columns, static_cast<unsigned>(run), a.descending);
    for (; run < a.columns; run *= 2) {
      RETORT_LAUNCH(stream, threads_for(elements), merge_runs, from, to, a.columns, run, elements);
      std::uint64_t* const sorted = to;
      to = from;
      from = sorted;
    }
    RETORT_LAUNCH(stream, threads_for(a.rows * a.count), take_sorted<T>, x, from, static_cast<T*>(a.values), a.places,
                  a.columns, a.count, a.rows * a.count);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
