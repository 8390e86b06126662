// autograd/ops/linalg.h -- matrix products.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// op(a) op(b) over the last two axes, [.., m, k] x [.., k, n] -> [.., m, n], where op transposes when its flag is set;
/// leading axes broadcast. Float dtypes; 16-bit inputs accumulate in f32. Throws ShapeError, DTypeError.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

/// x w^T + bias: x [.., in], w [out, in], bias [out] or undefined -> [.., out]; one product with the bias in its start.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {});

}  // namespace retort
