// autograd/ops/pairwise.h -- the ops behind pairwise_distance: a [.., n, d], b [.., m, d] with equal leading axes, f32
// or f64 -> [.., n, m].
#pragma once
#include "autograd/rule.h"

namespace retort {

/// sum_k (a_ik - b_jk)^2.
Tensor squared_distance(const Tensor& a, const Tensor& b);
/// sum_k |a_ik - b_jk|.
Tensor l1_distance(const Tensor& a, const Tensor& b);

namespace infer {
/// One output [.., n, m]; throws unless the inputs are points as above.
inline void distances(InferCall& call) {
  const Tensor &a = call.in[0], &b = call.in[1];
  if (a.dtype() != DType::f32 && a.dtype() != DType::f64)
    throw DTypeError("{}: computed in f32 or f64 only; got {}; hint: cast it", call.name, a.str());
  require_same_dtype(call, 0, 2);
  Shape expected = b.shape();
  if (a.rank() >= 2 && b.rank() == a.rank()) expected[a.rank() - 2] = a.size(-2);
  if (a.rank() < 2 || !(a.shape() == expected))
    throw ShapeError("{}: needs points [.., n, d] and [.., m, d]; got {} and {}", call.name, a.str(), b.str());
  Shape shape = a.shape();
  shape[a.rank() - 1] = b.size(-2);
  call.output(shape, a.dtype());
}
}  // namespace infer

}  // namespace retort
