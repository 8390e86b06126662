// cuda_kernels/embedding.cu -- instances and launchers of gather and scatter-add.
#include "cuda_kernels/embedding.cuh"

namespace retort::kernels::RETORT_BACKEND {

void gather_rows(const Gather& a, gpu::Stream stream) {
  if (a.count == 0 || a.width == 0) return;
  visit_training("gather_rows", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{blocks_for(a.count, 1)}, {128}}), gather<T>,
                  static_cast<const T*>(a.table), a.index, static_cast<T*>(a.y), a.width);
  });
}

void scatter_add_rows(const ScatterAdd& a, gpu::Stream stream) {
  if (a.count == 0 || a.width == 0) return;
  visit_training("scatter_add_rows", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, (gpu::LaunchShape{{blocks_for(a.count, 1)}, {kScatterThreads}}), scatter_add<T>,
                  static_cast<const T*>(a.rows), a.index, a.table, a.count, a.width);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
