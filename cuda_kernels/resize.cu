// cuda_kernels/resize.cu -- instances and launcher of resampling.
#include "cuda_kernels/resize.cuh"

namespace retort::kernels::RETORT_BACKEND {

static AxisTaps taps_of(const ResampleAxis& a) { return {a.outputs, a.inputs, a.first, a.count, a.at, a.weights}; }

void resize(const Resize& a, gpu::Stream stream) {
  const std::int64_t values = a.images * a.rows.outputs * a.columns.outputs * a.channels;
  if (values == 0) return;
  visit_training("resize", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(values), resize_values<T>, static_cast<const T*>(a.x), static_cast<T*>(a.y),
                  taps_of(a.rows), taps_of(a.columns), a.channels, values);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
