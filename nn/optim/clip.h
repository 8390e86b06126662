// nn/optim/clip.h -- the norm of a list of gradients, clipping by it, and inner products.
#pragma once
#include <span>

#include "tensor/tensor.h"

namespace retort {

/// sqrt of the sum of all squares, accumulated in f64 in a fixed order. Not finite when a gradient is not.
/// Throws DTypeError for tensors that are not float.
double grad_norm(std::span<const Tensor> grads);

/// Scales the gradients in place by max_norm / norm when their norm is larger (Pascanu et al. 2013); returns the norm
/// before. Gradients with a norm that is not finite are left as they are: the caller decides about the step.
/// Throws ValueError unless max_norm > 0.
double clip_grad_norm(std::span<const Tensor> grads, double max_norm);

/// sum of a_i b_i over all elements, accumulated in f64 in a fixed order. Throws ShapeError for tensors that differ in
/// shape or dtype, or are not float.
double inner_product(const Tensor& a, const Tensor& b);

}  // namespace retort
