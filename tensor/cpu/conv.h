// tensor/cpu/conv.h -- 2-D convolution and its two gradients on the CPU over raw pointers.
#pragma once
#include <cstdint>

#include "tensor/cpu/engine.h"
#include "tensor/dtype.h"

namespace retort::cpu {

/// Sizes of a 2-D convolution (cross-correlation). Activations are channels-last, x [n, h, w, c] and
/// y [n, out_h, out_w, o]; weights are OHWI, [o, kh, kw, c / groups]. Padding is zeros on both sides of an axis.
/// n may be 0; the op layer checks that everything else is positive and divisible.
struct ConvShape {
  std::int64_t n, c, h, w;
  std::int64_t o, kh, kw;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;
  std::int64_t dil_h = 1, dil_w = 1;
  std::int64_t groups = 1;

  std::int64_t extent_h() const { return (kh - 1) * dil_h + 1; }  ///< rows that the dilated kernel spans
  std::int64_t extent_w() const { return (kw - 1) * dil_w + 1; }
  std::int64_t out_h() const { return (h + 2 * pad_h - extent_h()) / stride_h + 1; }
  std::int64_t out_w() const { return (w + 2 * pad_w - extent_w()) / stride_w + 1; }
  std::int64_t weights() const { return o * kh * kw * (c / groups); }
  double flops() const { return 2.0 * double(n) * double(out_h()) * double(out_w()) * double(weights()); }
};

/// y = conv(x, w) + bias; bias [o] may be null. T is f64, f32, bf16 or f16; 16-bit types accumulate in f32 and round
/// once. Like all three functions: the work is cut into pieces that follow from the shape alone and each piece is
/// computed on one thread, so that results do not depend on the number of threads. f64 always uses Engine::fallback.
template <class T>
void conv_forward(const ConvShape& shape, const T* x, const T* w, const T* bias, T* y, Engine engine = kDefaultEngine);

/// dx = the gradient with respect to x, given dy [n, out_h, out_w, o].
template <class T>
void conv_backward_data(const ConvShape& shape, const T* dy, const T* w, T* dx, Engine engine = kDefaultEngine);

/// dw = the gradient with respect to w, and dbias [o] unless null. Each piece of the batch gives a partial sum in the
/// compute type; the partial sums are added in order.
template <class T>
void conv_backward_weights(const ConvShape& shape, const T* x, const T* dy, T* dw, T* dbias,
                           Engine engine = kDefaultEngine);

/// Upper bound, in bytes, of the scratch that the call of the given kind holds with `threads` threads: packed weights,
/// partial gradients, converted pieces, im2col panels and the library's working space.
enum class ConvKind { forward, backward_data, backward_weights };
std::int64_t conv_scratch_bytes(const ConvShape& shape, ConvKind kind, DType dtype, int threads,
                                Engine engine = kDefaultEngine);

}  // namespace retort::cpu
