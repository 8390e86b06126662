// autograd/ops/norm.h -- what the rules of the normalisations share.
#pragma once
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"
#include "tensor/norm_plan.h"

namespace retort::norm {

/// The dtype of statistics and of the arithmetic: f32, or f64 for f64.
inline DType compute_dtype(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }
inline Tensor widened(const Tensor& t) { return cast(t, compute_dtype(t.dtype())); }

/// Checks parameter i: absent, or [extent] in x's dtype or in the dtype of the statistics.
inline void require_parameter(const InferCall& call, std::size_t i, std::int64_t extent) {
  const Tensor& p = call.in[i];
  if (!p.defined()) return;
  if (p.rank() != 1 || p.shape()[0] != extent)
    throw ShapeError("{}: parameter {} must have shape [{}]; got {} for x {}", call.name, i, extent, p.str(),
                     call.in[0].str());
  const DType x = call.in[0].dtype();
  if (p.dtype() != x && p.dtype() != compute_dtype(x))
    throw DTypeError("{}: parameters have x's dtype, or f32 beside 16-bit x; got {} for x {}", call.name, p.str(),
                     call.in[0].str());
}

/// Output `like parameter i` of a backward op; empty when the parameter is absent.
inline void parameter_gradient(InferCall& call, std::size_t i) {
  if (call.in[i].defined())
    call.output(call.in[i].shape(), call.in[i].dtype());
  else
    call.output({0}, call.in[0].dtype());
}

/// y weight + bias, absent parameters left out, for y in compute dtype; parameters are reshaped to `shape` first.
inline Tensor scaled_and_shifted(Tensor y, const Tensor& weight, const Tensor& bias, const Shape& shape) {
  if (weight.defined()) y = y * reshape(cast(weight, y.dtype()), shape);
  if (bias.defined()) y = y + reshape(cast(bias, y.dtype()), shape);
  return y;
}

/// [1, C, 1, ...]: where a per-channel parameter stands against x [N, C, *].
inline Shape per_channel(const Tensor& x) {
  Shape s = Dims::filled(x.rank(), 1);
  s[1] = x.shape()[1];
  return s;
}

/// Checks x [..., n].
inline void require_rows(const InferCall& call) {
  infer::require_float(call, 0);
  if (call.in[0].rank() < 1) throw ShapeError("{}: x must be [..., n]; got {}", call.name, call.in[0].str());
}

/// Checks x [N, C, *].
inline void require_channels(const InferCall& call) {
  infer::require_float(call, 0);
  if (call.in[0].rank() < 2) throw ShapeError("{}: x must be [N, C, *]; got {}", call.name, call.in[0].str());
}

/// Shapes of a batch norm in training: y, mean, biased variance. Checks x and the parameters 1 and 2.
inline void infer_batch_norm(InferCall& call) {
  require_channels(call);
  const Tensor& x = call.in[0];
  for (std::size_t i = 1; i <= 2; ++i) require_parameter(call, i, x.size(1));
  if (x.numel() == 0 && x.size(1) > 0)
    throw ShapeError("{}: an empty batch has no statistics; got {}", call.name, x.str());
  call.output(x.shape(), x.dtype(), channels_last_strides(x.shape()));
  for (int i = 0; i < 2; ++i) call.output({x.size(1)}, compute_dtype(x.dtype()));
  call.scratch(ChannelNormPlan(x.shape(), false).scratch_doubles() * 8);
}
/// Shapes of its backward op: gradients of x, weight and bias.
inline void infer_batch_norm_backward(InferCall& call) {
  const Tensor& x = call.in[0];
  call.output(x.shape(), x.dtype(), channels_last_strides(x.shape()));
  parameter_gradient(call, 1);
  parameter_gradient(call, 2);
  call.scratch(ChannelNormPlan(x.shape(), false).scratch_doubles() * 8);
}

/// Runs backward op B on the forward's inputs, what it saved (`kept`), and the cotangents; hands out what is wanted.
template <class B>
void run_backward(VjpCall& c, std::span<const Tensor> kept, std::span<const Tensor> cotangents) {
  Tensors in(c.in.begin(), c.in.end());
  in.insert(in.end(), kept.begin(), kept.end());
  in.insert(in.end(), cotangents.begin(), cotangents.end());
  Tensors out(c.in.size());
  apply(op_of<B>(), in, c.attrs, out);
  for (std::size_t i = 0; i < out.size(); ++i)
    if (c.wants[i]) c.grad[i] = out[i];
}

}  // namespace retort::norm
