// autograd/ops/rotary.h -- rotary position embedding with rates of the caller's.
#pragma once
#include <vector>

#include "autograd/ops/nn.h"

namespace retort {

/// Pair i of x [..., T, D] at position t is turned by t rates[i]; positions as for the plain one (autograd/ops/nn.h).
/// With R < D / 2 rates only the first 2R features turn, (i, i + R) or (2i, 2i + 1) together, and the others stay.
/// Throws ShapeError (also for no rates, or more than D / 2), DTypeError.
Tensor rotary(const Tensor& x, const Tensor& positions, const std::vector<double>& rates,
              RotaryPairs pairs = RotaryPairs::half);

}  // namespace retort
