// autograd/ops/scan_shift.h -- what the rules of scans need: the elements one step earlier.
#pragma once
#include <algorithm>

#include "autograd/ops/shape.h"

namespace retort {

/// x moved by one position along `axis` in the direction of the scan: the element before each one, `first` before the
/// first. With `reverse` the scan runs from the last element, so each position holds its right neighbour.
inline Tensor shifted(const Tensor& x, int axis, bool reverse, double first) {
  const std::int64_t n = x.shape()[axis];
  if (n == 0) return x;
  const Tensor kept = reverse ? slice(x, axis, 1) : slice(x, axis, 0, n - 1);
  Dims before = Dims::filled(x.rank(), 0), after = before;
  (reverse ? after : before)[axis] = 1;
  return pad(kept, before, after, first);
}

}  // namespace retort
