// tensor/cpu/pool.h -- 2-D max and average pooling and their gradients on the CPU over raw channels-last pointers.
#pragma once
#include <cstdint>

namespace retort::cpu {

/// Windows along one axis of extent `size`. When `adaptive` is positive it is the number of windows, and window o spans
/// [floor(o size / adaptive), ceil((o + 1) size / adaptive)), whatever the other fields say.
struct PoolAxis {
  std::int64_t size, kernel, stride, pad, adaptive;
  std::int64_t out() const { return adaptive > 0 ? adaptive : (size + 2 * pad - kernel) / stride + 1; }
};

/// Sizes of a 2-D pooling: x [n, h, w, c] and y [n, out_h, out_w, c], channels-last. The op layer checks that
/// everything but n is positive and that padding is at most half of the window, so that every window sees some of x.
struct PoolShape {
  std::int64_t n, c, h, w;
  std::int64_t kh, kw;
  std::int64_t stride_h, stride_w;
  std::int64_t pad_h = 0, pad_w = 0;
  std::int64_t adaptive_h = 0, adaptive_w = 0;

  PoolAxis rows() const { return {h, kh, stride_h, pad_h, adaptive_h}; }
  PoolAxis cols() const { return {w, kw, stride_w, pad_w, adaptive_w}; }
  std::int64_t out_h() const { return rows().out(); }
  std::int64_t out_w() const { return cols().out(); }
};

/// y = the largest value under each window and argmax = where it is, row * w + column of its image; same shape as y.
/// Of equal values the first in reading order counts; a NaN is larger than any number. Padding never wins.
/// T, here and below, is f64, f32, bf16 or f16; sums of 16-bit floats are made in f32 and rounded once.
template <class T>
void max_pool_forward(const PoolShape& shape, const T* x, T* y, std::int32_t* argmax);
/// dx = the gradient with respect to x: each element gets the sum of dy over the windows that chose it.
template <class T>
void max_pool_backward(const PoolShape& shape, const T* dy, const std::int32_t* argmax, T* dx);
/// y = x at argmax, the adjoint of max_pool_backward and so the derivative of the maximum along x.
template <class T>
void max_pool_gather(const PoolShape& shape, const T* x, const std::int32_t* argmax, T* y);

/// y = the mean under each window. With `count_include_pad` the sum is divided by kh * kw, else (and in adaptive
/// pooling, which has no such window) by the number of elements of x that the window covers.
template <class T>
void avg_pool_forward(const PoolShape& shape, bool count_include_pad, const T* x, T* y);
template <class T>
void avg_pool_backward(const PoolShape& shape, bool count_include_pad, const T* dy, T* dx);

}  // namespace retort::cpu
