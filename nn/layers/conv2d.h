// nn/layers/conv2d.h -- 2-D convolution.
#pragma once
#include "autograd/ops/conv.h"
#include "nn/context.h"

namespace retort {

/// x [n, in, h, w] -> [n, out, oh, ow]; weight [out, in / groups, kernel, kernel] (channels-last in memory), bias [out]
/// unless `with_bias` is false. Starts from He's normal law and zero bias. Taps: in, out.
struct Conv2d : Module {
  Parameter weight, bias;
  ConvOptions options;
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const ConvOptions& how = {}, bool with_bias = true)
      : options(how) {
    if (in % how.groups != 0 || out % how.groups != 0)
      throw ShapeError("conv2d: {} groups do not divide {} and {} channels", how.groups, in, out);
    const Shape shape{out, in / how.groups, kernel, kernel};
    weight = Parameter(shape, Init::he_normal(shape));
    if (with_bias) bias = Parameter({out}, Init::constant(0), false);
  }
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    ctx.tap(*this, "in", x);
    const Tensor y = conv2d(x, ctx(weight), bias.value.defined() ? ctx(bias) : Tensor(), options);
    ctx.tap(*this, "out", y);
    return y;
  }
  void visit(Visitor& v) override {
    v("weight", weight);
    if (bias.value.defined()) v("bias", bias);
  }
};

}  // namespace retort
