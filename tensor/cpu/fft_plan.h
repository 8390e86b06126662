// tensor/cpu/fft_plan.h -- planned discrete Fourier transforms of one length, over separate real and imaginary planes.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

namespace retort::cpu {

/// The real and imaginary parts of a line.
template <class T>
struct Planes {
  T* re;
  T* im;
  Planes swapped() const { return {im, re}; }
};

/// One pass of a mixed-radix transform: `radix` sublines of `span` butterflies each, whose results lie `stride` apart.
template <class T>
struct FftStage {
  std::int64_t radix, span, stride;
  std::vector<T> twiddle_re, twiddle_im;  ///< per butterfly: radix - 1 factors; for short strides per element
  std::vector<T> cosines, sines;          ///< of 2 pi j / radix
};

/// X_k = sum_j x_j e^(-2 pi i jk / n). Lengths whose prime factors are at most 13 take Stockham's passes of radix 8, 4,
/// 2, 3, 5, 7, 11, 13 (Van Loan 1992); others are a convolution with a chirp of length 2^m (Bluestein 1970). Tables are
/// computed in f64. The inverse transform (without 1/n) is this one with real and imaginary parts exchanged.
template <class T>
class FftPlan {
 public:
  explicit FftPlan(std::int64_t n);
  std::int64_t length() const { return length_; }
  /// Elements per plane that `x` and `work` must have room for.
  std::int64_t room() const;
  /// Transforms x, using `work`; returns the one of the two that holds the result. x is destroyed.
  Planes<T> run(Planes<T> x, Planes<T> work) const;

 private:
  Planes<T> convolve(Planes<T> x, Planes<T> work) const;
  std::int64_t length_;
  std::vector<FftStage<T>> stages_;
  std::unique_ptr<FftPlan> chirp_plan_;   ///< null unless the length takes Bluestein's way
  std::vector<T> chirp_re_, chirp_im_;    ///< e^(-pi i k^2 / n)
  std::vector<T> filter_re_, filter_im_;  ///< transform of the conjugate chirp, over its length
};

/// What a real transform of n elements needs besides a complex one of n / 2 (n even) or n (n odd).
template <class T>
struct RealFftPlan {
  std::int64_t length;
  FftPlan<T> complex;
  std::vector<T> cosines, sines;  ///< of 2 pi k / n for k = 0 .. n / 2; even lengths only
  explicit RealFftPlan(std::int64_t n);
};

/// The plan of a length, kept by the calling thread with the last few others.
template <class Plan>
std::shared_ptr<const Plan> plan_for(std::int64_t n);

}  // namespace retort::cpu
