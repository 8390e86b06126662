// autograd/ops/elementwise.h -- functions of one tensor, element by element; same shape, float dtypes.
// 16-bit floats are computed in f32 and rounded once. Errors: DTypeError on integer and bool inputs.
#pragma once
#include "tensor/tensor.h"

namespace retort {

Tensor exp(const Tensor& x);
/// e^x - 1 and log(1 + x), accurate near 0.
Tensor expm1(const Tensor& x);
Tensor log1p(const Tensor& x);
/// Natural logarithm; -inf at 0, NaN below.
Tensor log(const Tensor& x);
/// Its gradient at 0 is infinite; hint: add an epsilon inside.
Tensor sqrt(const Tensor& x);
/// 1 / sqrt(x).
Tensor rsqrt(const Tensor& x);
Tensor square(const Tensor& x);
/// 1 / x.
Tensor reciprocal(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tanh(const Tensor& x);
/// 1 / (1 + e^-x).
Tensor sigmoid(const Tensor& x);
/// The error function.
Tensor erf(const Tensor& x);

/// max(x, 0); the derivative at 0 is 0.
Tensor relu(const Tensor& x);
/// x for x > 0, else slope x; the derivative at 0 is `slope`.
Tensor leaky_relu(const Tensor& x, double slope = 0.01);
/// x sigmoid(x) (Elfwing et al. 2018; also called swish).
Tensor silu(const Tensor& x);
/// log(1 + e^x) without overflow.
Tensor softplus(const Tensor& x);
/// x tanh(softplus(x)).
Tensor mish(const Tensor& x);
/// x Phi(x), exact erf form (Hendrycks and Gimpel 2016), and its tanh approximation as used by GPT-2.
Tensor gelu(const Tensor& x);
Tensor gelu_tanh(const Tensor& x);

/// |x|; the derivative is sign(x), 0 at 0.
Tensor abs(const Tensor& x);
/// -1, 0 or 1, and whole numbers below or nearest (halves to even), in x's dtype. Their derivative is 0.
Tensor sign(const Tensor& x);
Tensor floor(const Tensor& x);
Tensor round(const Tensor& x);
/// x limited to [low, high]; the derivative is 1 there, bounds included, and 0 outside. NaN passes through.
/// Throws ValueError unless low <= high.
Tensor clamp(const Tensor& x, double low, double high);

/// bool results of float inputs.
Tensor isnan(const Tensor& x);
Tensor isfinite(const Tensor& x);

}  // namespace retort
