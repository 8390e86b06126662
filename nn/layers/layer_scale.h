// nn/layers/layer_scale.h -- learned factors of a branch.
#pragma once
#include "autograd/ops/arithmetic.h"
#include "nn/context.h"

namespace retort {

/// x * weight, x [.., width], weight [width] from `start` (Touvron et al. 2021, CaiT): what a branch is multiplied by
/// before it is added.
struct LayerScale : Module {
  Parameter weight;
  LayerScale(std::int64_t width, double start) : weight({width}, Init::constant(start), false) {}
  Tensor operator()(const Tensor& x, Ctx& ctx) const { return x * ctx(weight); }
  void visit(Visitor& v) override { v("weight", weight); }
};

}  // namespace retort
