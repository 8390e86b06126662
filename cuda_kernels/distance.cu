// cuda_kernels/distance.cu -- instances and launchers of distances.
#include "cuda_kernels/distance.cuh"

namespace retort::kernels::RETORT_BACKEND {

void distance(const Distance& a, gpu::Stream stream) {
  if (a.batches * a.n * a.m == 0) return;
  const std::int64_t tiles = ((a.n + kPointTile - 1) / kPointTile) * ((a.m + kPointTile - 1) / kPointTile);
  const gpu::LaunchShape shape{{blocks_for(a.batches * tiles, 1)}, {kPointThreads}};
  if (a.absolute)
    RETORT_LAUNCH(stream, shape, distance_tiles<true>, a.a, a.b, a.y, a.n, a.m, a.d);
  else
    RETORT_LAUNCH(stream, shape, distance_tiles<false>, a.a, a.b, a.y, a.n, a.m, a.d);
}

void absolute_distance_backward(const AbsoluteDistanceBackward& a, gpu::Stream stream) {
  const std::int64_t elements = a.batches * a.n * a.d;
  if (elements == 0) return;
  RETORT_LAUNCH(stream, threads_for(elements), absolute_distance_slopes, a.a, a.b, a.g, a.da, elements, a.n, a.m, a.d,
                a.g_row, a.g_column);
}

}  // namespace retort::kernels::RETORT_BACKEND
