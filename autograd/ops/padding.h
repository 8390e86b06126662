// autograd/ops/padding.h -- what every pad checks alike.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// The amounts of a pad spread over all axes, and the padded shape.
struct Padding {
  Dims before, after;
  Shape shape;
};

/// `before` and `after` belong to the last axes of x. Throws ShapeError unless they have one length and no negative
/// entry.
inline Padding padding_of(const Tensor& x, const Dims& before, const Dims& after) {
  if (before.rank() != after.rank() || before.rank() > x.rank())
    throw ShapeError("pad: needs as many amounts before as after, at most one per axis; got {} and {} for {}",
                     before.str(), after.str(), x.str());
  Padding p{Dims::filled(x.rank(), 0), Dims::filled(x.rank(), 0), x.shape()};
  const int skipped = x.rank() - before.rank();
  for (int i = 0; i < before.rank(); ++i) {
    if (before[i] < 0 || after[i] < 0)
      throw ShapeError("pad: needs non-negative amounts; got {} and {}", before.str(), after.str());
    p.before[skipped + i] = before[i];
    p.after[skipped + i] = after[i];
    p.shape[skipped + i] += before[i] + after[i];
  }
  return p;
}

}  // namespace retort
