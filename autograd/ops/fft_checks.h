// autograd/ops/fft_checks.h -- what the Fourier transforms check alike, and their scale.
#pragma once
#include <cmath>

#include "autograd/ops/fft.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace infer {
inline void require_f32_or_f64(const InferCall& call) {
  const Tensor& x = call.in[0];
  if (x.dtype() != DType::f32 && x.dtype() != DType::f64)
    throw DTypeError("{}: computed in f32 or f64 only; got {}; hint: cast it", call.name, x.str());
}
}  // namespace infer

/// The extent of the axis before the trailing one, which must be 2.
inline std::int64_t complex_length(const Tensor& x, std::string_view op) {
  if (x.rank() < 2 || x.size(-1) != 2 || x.size(-2) < 1)
    throw ShapeError("{}: needs complex values [.., n >= 1, 2]; got {}", op, x.str());
  return x.size(-2);
}

inline double fft_scale(std::int64_t n, FftNorm norm, bool inverse) {
  const auto count = static_cast<double>(n);
  if (norm == FftNorm::ortho) return 1 / std::sqrt(count);
  return inverse == (norm == FftNorm::backward) ? 1 / count : 1;
}

}  // namespace retort
