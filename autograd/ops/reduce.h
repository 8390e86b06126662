// autograd/ops/reduce.h -- reductions over axes. Sums accumulate in f32 (f64 for f64) in a fixed order.
#pragma once
#include <initializer_list>

#include "tensor/tensor.h"

namespace retort {

/// Axes of a reduction: negative ones count from the end; an empty list means all axes.
using Axes = std::initializer_list<int>;

Tensor sum(const Tensor& x, Axes axes = {}, bool keepdim = false);
Tensor mean(const Tensor& x, Axes axes = {}, bool keepdim = false);
/// Sums the broadcast axes away, so that the result has `shape` (the adjoint of broadcast_to).
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace retort
