// autograd/ops/reduce.h -- reductions over axes, in a fixed order whatever the number of threads.
// An empty list of axes means all of them. With `keepdim` reduced axes stay with extent 1.
#pragma once
#include "autograd/axes.h"

namespace retort {

/// Sum; accumulates in f32 (f64 for f64). Integers and bool are summed in i64, and the result is i64 (a count).
Tensor sum(const Tensor& x, const Axes& axes = {}, bool keepdim = false);
/// Sum over the number of elements; NaN over none. Float dtypes.
Tensor mean(const Tensor& x, const Axes& axes = {}, bool keepdim = false);
/// Mean squared deviation from the mean: the sum of squares over (n - correction); correction 1 is the unbiased form.
Tensor var(const Tensor& x, const Axes& axes = {}, int correction = 0, bool keepdim = false);
/// log sum e^x without overflow; -inf where all elements are. Float dtypes.
Tensor logsumexp(const Tensor& x, const Axes& axes = {}, bool keepdim = false);

/// Largest and smallest element; NaN when there is one. The gradient is split evenly among equal extremes. Any dtype
/// but bool. Throws ShapeError over an axis without elements.
Tensor max(const Tensor& x, const Axes& axes = {}, bool keepdim = false);
Tensor min(const Tensor& x, const Axes& axes = {}, bool keepdim = false);
/// Index (i64) of the first largest (smallest) element along an axis; the first NaN when there is one.
/// Throws ShapeError over an axis without elements.
Tensor argmax(const Tensor& x, int axis = -1, bool keepdim = false);
Tensor argmin(const Tensor& x, int axis = -1, bool keepdim = false);

/// Conjunction and disjunction of bool tensors; `all` of nothing is true, `any` of nothing false.
Tensor all(const Tensor& x, const Axes& axes = {}, bool keepdim = false);
Tensor any(const Tensor& x, const Axes& axes = {}, bool keepdim = false);

/// Sums the broadcast axes away, so that the result has `shape` (the adjoint of broadcast_to).
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace retort
