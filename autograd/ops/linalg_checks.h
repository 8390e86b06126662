// autograd/ops/linalg_checks.h -- what the linear algebra ops check alike, and scalings by diagonal matrices.
#pragma once
#include "autograd/ops/linalg.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace infer {
/// Throws unless input i is a batch of f32 or f64 matrices.
inline void require_matrix(const InferCall& call, std::size_t i) {
  const Tensor& a = call.in[i];
  if (a.dtype() != DType::f32 && a.dtype() != DType::f64)
    throw DTypeError("{}: computed in f32 or f64 only; got {}; hint: cast it", call.name, a.str());
  if (a.rank() < 2) throw ShapeError("{}: input {} must be a matrix or a batch of them; got {}", call.name, i, a.str());
}
/// The same, and square.
inline void require_square(const InferCall& call, std::size_t i) {
  require_matrix(call, i);
  if (call.in[i].size(-1) != call.in[i].size(-2))
    throw ShapeError("{}: matrices must be square; got {}", call.name, call.in[i].str());
}
/// Shape of x in a x = b with broadcast batch axes; throws unless a is square and fits b.
inline Shape solution(const InferCall& call) {
  require_square(call, 0);
  require_matrix(call, 1);
  require_same_dtype(call, 0, 2);
  const Tensor &a = call.in[0], &b = call.in[1];
  if (a.size(-1) != b.size(-2))
    throw ShapeError("{}: the right-hand side must have {} rows; got {} and {}", call.name, a.size(-1), a.str(),
                     b.str());
  const auto batch = [](const Tensor& t) { return Shape(std::span(t.shape().begin(), t.shape().end() - 2)); };
  Shape shape = broadcast_shapes(batch(a), batch(b), call.name);
  shape.push_back(b.size(-2));
  shape.push_back(b.size(-1));
  return shape;
}
/// A shape whose last two extents are replaced by `last`.
inline Shape with_last(Shape shape, std::initializer_list<std::int64_t> last) {
  shape.erase(shape.rank() - 1);
  shape.erase(shape.rank() - 1);
  for (const std::int64_t extent : last) shape.push_back(extent);
  return shape;
}
}  // namespace infer

/// d [.., k] as a row [.., 1, k] or a column [.., k, 1]: x * as_row(d) = x diag(d), x * as_column(d) = diag(d) x.
inline Tensor as_row(const Tensor& d) {
  Shape s = d.shape();
  s.insert(s.rank() - 1, 1);
  return reshape(d, s);
}
inline Tensor as_column(const Tensor& d) {
  Shape s = d.shape();
  s.push_back(1);
  return reshape(d, s);
}
inline Tensor symmetric_part(const Tensor& x) { return (x + matrix_transpose(x)) * 0.5; }

}  // namespace retort
