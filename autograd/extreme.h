// autograd/extreme.h -- the rule that max and min over axes share.
#pragma once
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

/// The derivative of an extreme is the mean over the elements that attain it: the symmetric choice at a tie.
template <class R>
struct Extreme : General<R> {
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 1, 0}; }
  static void infer(InferCall& call) {
    const std::uint32_t axes = call.attrs.as<ReduceAttrs>().axes;
    if (call.in[0].dtype() == DType::boolean) throw DTypeError("{}: not defined on bool; hint: all or any", call.name);
    if (reduced_count(call.in[0].shape(), axes) == 0)
      throw ShapeError("{}: no elements to choose from; got {}", call.name, call.in[0].str());
    infer::reduction(call, call.in[0].dtype());
  }
  /// 1/k at the k extremes, 0 elsewhere.
  static Tensor share(const Tensor& x, const Tensor& y, std::uint32_t axes) {
    const Tensor hit = cast(equal(x, reshape(y, reduced_shape(x.shape(), axes, true))), x.dtype());
    return div(hit, sum(hit, Axes::of_mask(axes), true));
  }
  static void vjp(VjpCall& c) {
    const auto& a = c.attrs.as<ReduceAttrs>();
    const Tensor cot = reshape(c.cot[0], reduced_shape(c.in[0].shape(), a.axes, true));
    c.grad[0] = mul(share(c.in[0], c.out[0], a.axes), cot);
  }
  static void jvp(JvpCall& c) {
    const auto& a = c.attrs.as<ReduceAttrs>();
    c.out_tangent[0] = sum(mul(c.tangent[0], share(c.in[0], c.out[0], a.axes)), Axes::of_mask(a.axes), a.keepdim);
  }
};

}  // namespace retort
