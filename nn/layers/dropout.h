// nn/layers/dropout.h -- dropout whose masks are keyed by layer, step and global sample.
#pragma once
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "nn/context.h"

namespace retort {

/// In training each element of x [n, ..] is zero with probability `p`, else divided by 1 - p (Srivastava et al. 2014).
/// The mask of a sample is a function of (ctx.rng, the layer's path, ctx.step, the sample's global index):
/// micro-batches and recomputation change nothing. Throws ValueError unless 0 <= p < 1, ShapeError when ctx.samples
/// does not name each of the n samples.
struct Dropout : Module {
  double p;
  explicit Dropout(double probability) : p(probability) {
    if (!(p >= 0 && p < 1)) throw ValueError("dropout: a probability lies in [0, 1); got {}", p);
  }
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    if (!ctx.training || p == 0) return x;
    return dropout(x, p, ctx.rng.stream("dropout/" + path(), ctx.step), ctx.samples);
  }
  void visit(Visitor&) override {}
};

/// Stochastic depth (Huang et al. 2016): in training the whole branch x [n, ..] of a sample is zero with probability
/// `p`, else divided by 1 - p. Keyed as Dropout.
struct DropPath : Module {
  double p;
  explicit DropPath(double probability) : p(probability) {
    if (!(p >= 0 && p < 1)) throw ValueError("drop_path: a probability lies in [0, 1); got {}", p);
  }
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    if (!ctx.training || p == 0) return x;
    const Tensor one = Tensor::full({x.size(0)}, 1, x.dtype(), x.device());
    Shape column = Shape::filled(x.rank(), 1);
    column[0] = x.size(0);
    return x * reshape(dropout(one, p, ctx.rng.stream("drop_path/" + path(), ctx.step), ctx.samples), column);
  }
  void visit(Visitor&) override {}
};

}  // namespace retort
