// autograd/ops/loss_checks.h -- what the rules of the losses share.
#pragma once
#include "autograd/ops/arithmetic.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort::loss {

inline DType compute_dtype(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }
/// t in the dtype of the loss.
inline Tensor widened(const Tensor& t) { return cast(t, compute_dtype(t.dtype())); }

/// Shape of one value per row of x [..., C].
inline Shape unit_shape(const Tensor& x) {
  Shape s = x.shape();
  s.erase(s.rank() - 1);
  return s;
}

/// Checks that input i is a float tensor [..., C] with C > 0.
inline void require_logits(const InferCall& call, std::size_t i) {
  infer::require_float(call, i);
  if (call.in[i].rank() < 1 || call.in[i].shape().back() == 0)
    throw ShapeError("{}: logits must be [..., C] with C > 0; got {}", call.name, call.in[i].str());
}
/// Checks inputs 0 and 1: logits of one shape, both f64 or neither.
inline void require_pair(const InferCall& call) {
  require_logits(call, 0);
  require_logits(call, 1);
  const Tensor &a = call.in[0], &b = call.in[1];
  if (!(a.shape() == b.shape()))
    throw ShapeError("{}: both inputs must have one shape; got {} and {}", call.name, a.str(), b.str());
  if (compute_dtype(a.dtype()) != compute_dtype(b.dtype()))
    throw DTypeError("{}: f64 goes with f64 alone; got {} and {}; hint: cast one of them", call.name, a.str(), b.str());
}

/// p v, 0 where p is 0 whatever v is there.
inline Tensor times_log(const Tensor& p, const Tensor& v) {
  return p * where(equal(p, scalar_like(p, 0)), scalar_like(v, 0), v);
}

/// The same divergence with the roles of its arguments exchanged: D(s, t) = D'(t, s).
DivergenceAttrs exchanged(DivergenceAttrs d);
/// Throws ValueError for temperatures, a mixture or a top_k that no divergence has.
void check(std::string_view name, const DivergenceAttrs& d);
/// Throws ShapeError unless top_k < classes.
void check_outcomes(const InferCall& call, std::int64_t classes);
/// The divergence of logits [..., C] per row in public ops.
Tensor divergence_of(const DivergenceAttrs& d, const Tensor& student, const Tensor& teacher);

}  // namespace retort::loss
