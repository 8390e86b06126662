// autograd/ops/arithmetic.h -- sums, products, casts and comparisons, with numpy broadcasting.
// Operands of two float dtypes throw DTypeError; C++ scalars take the tensor's dtype.
#pragma once
#include "tensor/tensor.h"

namespace retort {

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor neg(const Tensor& x);
/// Elementwise larger (smaller) value; NaN when either is NaN. Gradient at a tie is split evenly.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
/// a^b; NaN for a < 0 unless b is whole. At a = 0 the gradient with respect to b is 0, and so is the one with respect
/// to a where b = 0; for a < 0 the gradient with respect to b is NaN.
Tensor pow(const Tensor& a, const Tensor& b);
/// The values in another dtype, rounded to nearest; float to integer truncates. Gradients flow between float dtypes.
Tensor cast(const Tensor& x, DType dtype);

/// bool results; any equal dtypes, bool included.
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
inline Tensor greater(const Tensor& a, const Tensor& b) { return less(b, a); }
inline Tensor greater_equal(const Tensor& a, const Tensor& b) { return less_equal(b, a); }
/// On bool tensors, broadcasting. Other dtypes throw DTypeError.
Tensor logical_not(const Tensor& x);
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
/// condition ? a : b per element; `condition` is bool and broadcasts too. Linear in a and b: a branch
/// that was not taken gets a zero gradient, whatever its values. (An op before it still multiplies that zero by its own
/// slope: where(x > 0, sqrt(x), 0) has no derivative at 0, sqrt(where(x > 0, x, 1)) has.)
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

/// A 0-d constant with x's dtype and device.
inline Tensor scalar_like(const Tensor& x, double v) { return Tensor::scalar(v, x.dtype(), x.device()); }

inline Tensor pow(const Tensor& a, double b) { return pow(a, scalar_like(a, b)); }
inline Tensor maximum(const Tensor& a, double b) { return maximum(a, scalar_like(a, b)); }
inline Tensor minimum(const Tensor& a, double b) { return minimum(a, scalar_like(a, b)); }

inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator-(const Tensor& x) { return neg(x); }
inline Tensor operator+(const Tensor& a, double b) { return add(a, scalar_like(a, b)); }
inline Tensor operator+(double a, const Tensor& b) { return add(scalar_like(b, a), b); }
inline Tensor operator-(const Tensor& a, double b) { return sub(a, scalar_like(a, b)); }
inline Tensor operator-(double a, const Tensor& b) { return sub(scalar_like(b, a), b); }
inline Tensor operator*(const Tensor& a, double b) { return mul(a, scalar_like(a, b)); }
inline Tensor operator*(double a, const Tensor& b) { return mul(scalar_like(b, a), b); }
inline Tensor operator/(const Tensor& a, double b) { return div(a, scalar_like(a, b)); }
inline Tensor operator/(double a, const Tensor& b) { return div(scalar_like(b, a), b); }

}  // namespace retort
