// autograd/check_grads.h -- derivatives against finite differences and against each other, to any order.
#pragma once
#include <functional>
#include <string>

#include "autograd/op.h"

namespace retort {

struct CheckGrads {
  int order = 2;            ///< derivatives up to this order, reverse and forward mixed
  double step = 1e-5;       ///< of the central difference, along a random direction of unit scale
  double tolerance = 1e-6;  ///< relative to max(1, |value|); differences of order k are taken of order k-1 derivatives
  bool forward = true;      ///< also check jvp, and <u, J v> = <J^T u, v>
  std::uint64_t seed = 1;
};

/// Checks `f` at `inputs` (f64; other dtypes are held fixed). Directions and cotangents are keyed pseudo-random.
/// Returns an empty string when all agree, otherwise what differs, at which order, and by how much.
std::string check_grads(const std::function<Tensors(std::span<const Tensor>)>& f, std::span<const Tensor> inputs,
                        const CheckGrads& options = {});

}  // namespace retort
