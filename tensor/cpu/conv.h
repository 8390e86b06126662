// tensor/cpu/conv.h -- convolution over one to three axes and its two gradients on the CPU over raw pointers.
#pragma once
#include <cstdint>

#include "tensor/cpu/engine.h"
#include "tensor/dtype.h"

namespace retort::cpu {

/// One spatial axis of a convolution. Padding is zeros on both sides.
struct ConvAxis {
  std::int64_t size = 1, kernel = 1, stride = 1, pad = 0, dilation = 1;

  std::int64_t extent() const { return (kernel - 1) * dilation + 1; }  ///< positions that the dilated kernel spans
  std::int64_t out() const { return (size + 2 * pad - extent()) / stride + 1; }
  /// Whether the axis might as well not be there.
  bool trivial() const { return size == 1 && kernel == 1 && out() == 1; }
};

/// Sizes of a convolution (cross-correlation) over up to three axes; one that is not wanted stays as it is by default.
/// Activations are channels-last, x [n, d, h, w, c] and y [n, d', h', w', o]; weights are [o, kd, kh, kw, c / groups].
/// n may be 0; the op layer checks that everything else is positive and divisible.
struct ConvShape {
  std::int64_t n, c, o;
  ConvAxis d, h, w;
  std::int64_t groups = 1;

  std::int64_t x_pixels() const { return d.size * h.size * w.size; }  ///< of an image of x
  std::int64_t y_pixels() const { return d.out() * h.out() * w.out(); }
  bool depthwise() const { return groups > 1 && c == groups && o == groups; }  ///< every channel by itself
  std::int64_t weights() const { return o * d.kernel * h.kernel * w.kernel * (c / groups); }
  double flops() const { return 2.0 * double(n) * double(y_pixels()) * double(weights()); }
};

/// What becomes of y where the piece just computed is still in cache: y scale + shift + residual, limited to
/// [low, high] (NaN stays). 16-bit floats are rounded again.
template <class T>
struct ConvEpilogue {
  const compute_t<T>*scale, *shift;  ///< [o]
  const T* residual;                 ///< as y, or null
  compute_t<T> low, high;
};

/// y = conv(x, w) + bias, then the epilogue unless it is null; bias [o] may be null. T is f64, f32, bf16 or f16; 16-bit
/// types accumulate in f32 and round once. Like all three functions: the work is cut into pieces that follow from the
/// shape alone and each piece is computed on one thread, so that results do not depend on the number of threads. f64
/// always uses Engine::fallback.
template <class T>
void conv_forward(const ConvShape& shape, const T* x, const T* w, const T* bias, T* y, Engine engine = kDefaultEngine,
                  const ConvEpilogue<T>* epilogue = nullptr);

/// dx = the gradient with respect to x, given dy of y's shape.
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
