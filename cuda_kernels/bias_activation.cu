// cuda_kernels/bias_activation.cu -- instances and launchers of bias + activation.
#include "cuda_kernels/bias_activation.cuh"

namespace retort::kernels::RETORT_BACKEND {

void bias_activation(const BiasActivation& a, gpu::Stream stream) {
  const std::int64_t n = a.rows * a.columns;
  if (n == 0) return;
  visit_training("bias_activation", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(n), bias_activation_elements<T>, static_cast<const T*>(a.x), a.bias,
                  static_cast<T*>(a.y), n, a.columns, a.activation);
  });
}

void bias_activation_backward(const BiasActivationBackward& a, gpu::Stream stream) {
  const std::int64_t n = a.rows * a.columns;
  if (n == 0) return;
  visit_training("bias_activation_backward", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(n), bias_activation_slopes<T>, static_cast<const T*>(a.x),
                  static_cast<const T*>(a.dy), a.bias, static_cast<T*>(a.dx), n, a.columns, a.activation);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
