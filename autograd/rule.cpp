#include "autograd/rule.h"

#include "autograd/axes.h"
#include "autograd/jvp.h"
#include "tensor/attrs.h"

namespace retort {

namespace infer {

void require_float(const InferCall& call, std::size_t i) {
  if (!is_float(call.in[i].dtype()))
    throw DTypeError("{}: input {} must be a float tensor; got {}; hint: cast it", call.name, i, call.in[i].str());
}

void require_index(const InferCall& call, std::size_t i) {
  if (call.in[i].dtype() != DType::i64)
    throw DTypeError("{}: input {} must be i64; got {}; hint: cast it", call.name, i, call.in[i].str());
}

void require_same_dtype(const InferCall& call, std::size_t first, std::size_t last) {
  const Tensor* seen = nullptr;
  for (std::size_t i = first; i < last; ++i) {
    if (!call.in[i].defined()) continue;
    if (seen && seen->dtype() != call.in[i].dtype())
      throw DTypeError("{}: dtypes differ; got {} and {}; hint: cast one of them", call.name, seen->str(),
                       call.in[i].str());
    seen = &call.in[i];
  }
}

void require_rank(const InferCall& call, std::size_t i, int rank) {
  if (call.in[i].rank() != rank)
    throw ShapeError("{}: input {} must have {} axes; got {}", call.name, i, rank, call.in[i].str());
}

Strides like(const Tensor& t) { return t.layout().dense() ? t.strides() : contiguous_strides(t.shape()); }

std::pair<Shape, Strides> joint_layout(const InferCall& call) {
  Shape shape = call.in[0].shape();
  for (std::size_t i = 1; i < call.in.size(); ++i)
    if (!(call.in[i].shape() == shape)) shape = broadcast_shapes(shape, call.in[i].shape(), call.name);
  for (const Tensor& t : call.in)
    if (t.shape() == shape && t.layout().dense()) return {shape, t.strides()};
  return {shape, contiguous_strides(shape)};
}

void elementwise(InferCall& call) {
  require_float(call, 0);
  arithmetic(call);
}

void arithmetic(InferCall& call) {
  require_same_dtype(call, 0, call.in.size());
  if (call.in[0].dtype() == DType::boolean)
    throw DTypeError("{}: not defined on bool; got {}; hint: cast first", call.name, call.in[0].str());
  const auto [shape, strides] = joint_layout(call);
  call.output(shape, call.in[0].dtype(), strides);
}

void comparison(InferCall& call) {
  require_same_dtype(call, 0, call.in.size());
  const auto [shape, strides] = joint_layout(call);
  call.output(shape, DType::boolean, strides);
}

void logical(InferCall& call) {
  for (const Tensor& t : call.in)
    if (t.dtype() != DType::boolean) throw DTypeError("{}: inputs must be bool; got {}", call.name, t.str());
  comparison(call);
}

void reduction(InferCall& call, DType dtype) {
  const auto& a = call.attrs.as<ReduceAttrs>();
  call.output(reduced_shape(call.in[0].shape(), a.axes, a.keepdim), dtype);
}

}  // namespace infer

Tensors decomposed_tangents(DecomposeFn decompose, const JvpCall& call) {
  const auto f = [&](std::span<const Tensor> in) { return decompose(in, call.attrs); };
  return jvp(f, call.in, call.tangent, JvpMode::tracked).tangent;
}

}  // namespace retort
