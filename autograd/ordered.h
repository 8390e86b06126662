// autograd/ordered.h -- the rule that sort and top_k share: values are a gather at the indices they return.
#pragma once
#include "autograd/ops/index.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

template <class R>
struct Ordered : General<R> {
  static constexpr int outputs = 2;
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 2, 1}; }
  static void infer(InferCall& call) {
    const auto& a = call.attrs.as<SortAttrs>();
    const Tensor& x = call.in[0];
    if (x.shape()[a.axis] >= std::int64_t{1} << 32)
      throw ShapeError("{}: lines are limited to 2^32 - 1 elements; got {}", call.name, x.str());
    Shape shape = x.shape();
    shape[a.axis] = a.count;
    const Strides strides = strides_ordered_like(x.layout(), shape);
    call.output(shape, x.dtype(), strides);
    call.output(shape, DType::i64, strides);
  }
  static void vjp(VjpCall& c) {
    const int axis = c.attrs.as<SortAttrs>().axis;
    c.grad[0] = scatter_add(c.cot[0], axis, c.out[1], c.in[0].shape()[axis]);
  }
  static void jvp(JvpCall& c) { c.out_tangent[0] = gather(c.tangent[0], c.attrs.as<SortAttrs>().axis, c.out[1]); }
};

}  // namespace retort
