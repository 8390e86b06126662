// nn/layers/mlp.h -- the two-layer perceptron of transformer blocks.
#pragma once
#include "nn/layers/activation.h"
#include "nn/layers/linear.h"

namespace retort {

/// down(act(up(x))): x [.., width] -> [.., hidden] -> [.., width]. Tap: pre_act, besides those of the two layers.
struct Mlp : Module {
  Linear up, down;
  Activation act;
  Mlp(std::int64_t width, std::int64_t hidden, Activation activation = Activation::gelu)
      : up(width, hidden), down(hidden, width), act(activation) {}
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    const Tensor h = up(x, ctx);
    ctx.tap(*this, "pre_act", h);
    return down(activate(act, h), ctx);
  }
  void visit(Visitor& v) override {
    v("up", up);
    v("down", down);
  }
};

}  // namespace retort
