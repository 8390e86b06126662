// cuda_kernels/sinkhorn.cu -- instances and launcher of entropic transport.
#include "cuda_kernels/sinkhorn.cuh"

namespace retort::kernels::RETORT_BACKEND {

void sinkhorn(const Sinkhorn& a, gpu::Stream stream) {
  const std::int64_t elements = a.batches * a.rows * a.columns;
  if (elements == 0) return;
  const float scale = -1.0f / a.epsilon;
  for (int i = 0; i < a.iterations; ++i) {
    RETORT_LAUNCH(stream, row_shape(a.batches * a.rows, a.columns), fit_potentials, a.cost, a.row_weights,
                  i == 0 ? nullptr : a.g, a.f, (LineSteps{a.rows, a.columns, a.columns, 1}), scale);
    RETORT_LAUNCH(stream, row_shape(a.batches * a.columns, a.rows), fit_potentials, a.cost, a.column_weights, a.f, a.g,
                  (LineSteps{a.columns, a.rows, 1, a.columns}), scale);
  }
  RETORT_LAUNCH(stream, threads_for(elements), transport_plan, a.cost, a.f, a.g, a.plan, a.rows, a.columns, scale,
                elements);
}

}  // namespace retort::kernels::RETORT_BACKEND
