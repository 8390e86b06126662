// nn/layers/mlp.h -- the perceptrons of transformer blocks: two layers, or gated.
#pragma once
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
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

/// down(silu(gate(x)) * up(x)), no biases (Shazeer 2020): x [.., width] -> [.., hidden] -> [.., width]. Tap: pre_act
/// (the gate's argument), besides those of the three layers.
struct SwiGlu : Module {
  Linear gate, up, down;
  SwiGlu(std::int64_t width, std::int64_t hidden)
      : gate(width, hidden, false), up(width, hidden, false), down(hidden, width, false) {}
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    const Tensor h = gate(x, ctx);
    ctx.tap(*this, "pre_act", h);
    return down(silu(h) * up(x, ctx), ctx);
  }
  void visit(Visitor& v) override {
    v("gate", gate);
    v("up", up);
    v("down", down);
  }
};

/// down(silu(a) * b), where a and b are the halves of in(x), all with biases (DINOv2's largest): x [.., width] ->
/// [.., 2 hidden] -> [.., width]. Tap: pre_act (a), besides those of the two layers.
struct JoinedSwiGlu : Module {
  Linear in, down;
  JoinedSwiGlu(std::int64_t width, std::int64_t hidden) : in(width, 2 * hidden), down(hidden, width) {}
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    const std::int64_t half = down.weight.value.size(1), halves[] = {half, half};
    const Tensors parts = split(in(x, ctx), halves, -1);
    ctx.tap(*this, "pre_act", parts[0]);
    return down(silu(parts[0]) * parts[1], ctx);
  }
  void visit(Visitor& v) override {
    v("in", in);
    v("down", down);
  }
};

}  // namespace retort
