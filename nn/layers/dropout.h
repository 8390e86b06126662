// nn/layers/dropout.h -- dropout whose masks are keyed by layer, step and global sample.
#pragma once
#include "nn/context.h"

namespace retort {

/// In training each element of x [n, ..] is zero with probability `p`, else divided by 1 - p (Srivastava et al. 2014).
/// The mask of a sample is a function of (ctx.rng, the layer's path, ctx.step, the sample's global index):
/// micro-batches and recomputation change nothing. Throws ValueError unless 0 <= p < 1, ShapeError when ctx.samples
/// does not name each of the n samples.
struct Dropout : Module {
  double p;
  explicit Dropout(double probability);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor&) override {}
};

}  // namespace retort
