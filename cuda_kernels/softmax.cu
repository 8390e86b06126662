// cuda_kernels/softmax.cu -- instances and launchers of softmax.
#include "cuda_kernels/softmax.cuh"

namespace retort::kernels::RETORT_BACKEND {

void softmax(const Softmax& a, gpu::Stream stream) {
  if (a.rows == 0 || a.columns == 0) return;
  visit_training("softmax", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* const x = static_cast<const T*>(a.x);
    T* const y = static_cast<T*>(a.y);
    const gpu::LaunchShape shape = row_shape(a.rows, a.columns);
    if (a.log)
      RETORT_LAUNCH(stream, shape, (softmax_rows<T, true>), x, y, a.columns);
    else
      RETORT_LAUNCH(stream, shape, (softmax_rows<T, false>), x, y, a.columns);
  });
}

void logsumexp(const Logsumexp& a, gpu::Stream stream) {
  if (a.rows == 0) return;
  visit_training("logsumexp", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, row_shape(a.rows, a.columns), logsumexp_rows<T>, static_cast<const T*>(a.x),
                  static_cast<T*>(a.y), a.columns);
  });
}

void softmax_backward(const SoftmaxBackward& a, gpu::Stream stream) {
  if (a.rows == 0 || a.columns == 0) return;
  visit_training("softmax_backward", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T *const y = static_cast<const T*>(a.y), *const dy = static_cast<const T*>(a.dy);
    T* const dx = static_cast<T*>(a.dx);
    const gpu::LaunchShape shape = row_shape(a.rows, a.columns);
    if (a.log)
      RETORT_LAUNCH(stream, shape, (softmax_backward_rows<T, true>), y, dy, dx, a.columns);
    else
      RETORT_LAUNCH(stream, shape, (softmax_backward_rows<T, false>), y, dy, dx, a.columns);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
