// cuda_kernels/bias_activation.cuh -- bodies of bias + activation.
#pragma once
#include "cuda_kernels/activation.cuh"
#include "cuda_kernels/bias_activation.h"

namespace retort::kernels::RETORT_BACKEND {

template <class T>
RETORT_KERNEL void bias_activation_elements(In<T> x, In<float> bias, Out<T> y, std::int64_t n, std::int64_t columns,
                                            Activation activation) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= n) return;
  float v = widen(static_cast<T>(x[i]));
  if (bias) v += bias[i % columns];
  y[i] = narrow<T>(activate(activation, v));
}

template <class T>
RETORT_KERNEL void bias_activation_slopes(In<T> x, In<T> dy, In<float> bias, Out<T> dx, std::int64_t n,
                                          std::int64_t columns, Activation activation) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= n) return;
  float v = widen(static_cast<T>(x[i]));
  if (bias) v += bias[i % columns];
  dx[i] = narrow<T>(activate_backward(activation, widen(static_cast<T>(dy[i])), v));
}

}  // namespace retort::kernels::RETORT_BACKEND
