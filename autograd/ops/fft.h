// autograd/ops/fft.h -- discrete Fourier transforms along the last axis. Complex values are a trailing axis of 2: (re,
// im). Any length >= 1: products of primes up to 13 directly, others as a convolution. Computed on the host in f32 or
// f64, as the input is; other dtypes throw DTypeError, a shape without the axes named throws ShapeError.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// Where the factor 1/n goes: to the inverse, to both as 1/sqrt(n), or to the forward transform.
enum class FftNorm : std::uint8_t { backward, ortho, forward };

/// X_k = sum_j x_j e^(-2 pi i jk / n), x [.., n, 2] -> [.., n, 2]; ifft is its inverse.
Tensor fft(const Tensor& x, FftNorm norm = FftNorm::backward);
Tensor ifft(const Tensor& x, FftNorm norm = FftNorm::backward);
/// The first n/2 + 1 bins of the transform of real x [.., n] -> [.., n/2 + 1, 2]; the others are their conjugates.
Tensor rfft(const Tensor& x, FftNorm norm = FftNorm::backward);
/// The real signal [.., n] of which x [.., n/2 + 1, 2] is half the spectrum; n = 2 (bins - 1) unless given. The
/// imaginary parts of bin 0 and, for even n, of the last bin do not count.
Tensor irfft(const Tensor& x, std::int64_t n = -1, FftNorm norm = FftNorm::backward);
/// Over the two axes before the trailing one, x [.., h, w, 2].
Tensor fft2(const Tensor& x, FftNorm norm = FftNorm::backward);
Tensor ifft2(const Tensor& x, FftNorm norm = FftNorm::backward);

struct StftOptions {
  std::int64_t hop = 0;  ///< samples from frame to frame; 0: a quarter of the window
  bool centre = true;    ///< frame t stands around sample t hop, the signal mirrored at its ends; else begins there
};
/// Short-time spectra of real x [.., n] under window [w] -> [.., w/2 + 1, frames, 2] (Allen and Rabiner 1977). `centre`
/// mirrors w/2 samples, so it needs n > w/2; else n >= w. Throws ShapeError, ValueError for a hop below 1.
Tensor stft(const Tensor& x, const Tensor& window, const StftOptions& options = {});
/// The signal [.., n] whose spectra come closest to x [.., w/2 + 1, frames, 2] in squares (Griffin and Lim 1984):
/// frames are windowed again, added and divided by the sum of squared windows. `n` -1: all that the frames determine.
/// Throws ValueError where no window reaches a sample that is asked for.
Tensor istft(const Tensor& x, const Tensor& window, const StftOptions& options = {}, std::int64_t n = -1);

}  // namespace retort
