// cuda_kernels/rotary.cu -- instances and launcher of rotary position embedding.
#include "cuda_kernels/rotary.cuh"

namespace retort::kernels::RETORT_BACKEND {

void rotary(const Rotary& a, gpu::Stream stream) {
  const std::int64_t threads = elements_of(a.rows) * (a.width - a.pairs);
  if (threads == 0) return;
  RETORT_LAUNCH(stream, threads_for(a.count * a.pairs), rotary_table, a.positions, a.rates, a.table, a.count, a.pairs,
                a.inverse);
  StridedPair numbers = a.rows;
  for (int axis = 0; axis < numbers.rank; ++axis) numbers.second[axis] = a.position[axis];
  visit_training("rotary", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(threads), rotary_pairs<T>, static_cast<const T*>(a.x), static_cast<T*>(a.y),
                  a.table, threads, a.rows, numbers, (TurningRow{a.width, a.pairs, a.x_step, a.y_step}), a.interleaved);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
