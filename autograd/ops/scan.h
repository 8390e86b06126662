// autograd/ops/scan.h -- scans: results at every position of an axis from the elements up to it. Float dtypes.
// With `reverse` they run from the last element to the first. Same shape as the input; accumulated in f32 (f64 for
// f64). Throw ShapeError for an axis outside the rank, DTypeError.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// Running sum along an axis; an exclusive one leaves out the element itself, so it begins with 0.
Tensor cumsum(const Tensor& x, int axis, bool reverse = false, bool exclusive = false);
/// Running product; an exclusive one begins with 1 (transmittance along a ray). Derivatives need no division, so they
/// are right at zeros, of any number and to any order.
Tensor cumprod(const Tensor& x, int axis, bool reverse = false, bool exclusive = false);
/// log of the running sum of e^x, without overflow; -infinity while all elements so far are. 16-bit floats are
/// computed in f32, derivatives included.
Tensor logcumsumexp(const Tensor& x, int axis, bool reverse = false);
/// h_t = a_t h_(t-1) + b_t along an axis, h = 0 before the first: discounted returns, traces, diagonal state spaces.
/// a and b have one shape and dtype.
Tensor linear_recurrence(const Tensor& a, const Tensor& b, int axis, bool reverse = false);

}  // namespace retort
