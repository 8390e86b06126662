// nn/layers/linear.h -- y = x w^T + b.
#pragma once
#include "autograd/ops/linalg.h"
#include "nn/context.h"

namespace retort {

/// x [.., in] -> [.., out]; weight [out, in], bias [out] unless `with_bias` is false. Starts from Xavier's uniform law
/// and zero bias. Taps: in, out.
struct Linear : Module {
  Parameter weight, bias;
  Linear(std::int64_t in, std::int64_t out, bool with_bias = true)
      : weight({out, in}, Init::xavier_uniform({out, in})) {
    if (with_bias) bias = Parameter({out}, Init::constant(0), false);
  }
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    ctx.tap(*this, "in", x);
    const Tensor y = linear(x, ctx(weight), bias.value.defined() ? ctx(bias) : Tensor());
    ctx.tap(*this, "out", y);
    return y;
  }
  void visit(Visitor& v) override {
    v("weight", weight);
    if (bias.value.defined()) v("bias", bias);
  }
};

}  // namespace retort
