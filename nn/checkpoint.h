// nn/checkpoint.h -- a block of a model whose activations are recomputed in the backward walk.
#pragma once
#include "nn/context.h"

namespace retort {

using BlockForward = std::function<Tensor(const Tensor& x, Ctx& ctx)>;

/// forward(x, ctx), storing x only. The block's parameters become inputs of one recorded op, so that gradients reach
/// the leaves or substituted values of `ctx`; wanted taps inside the block are further
/// results; dropout draws the same masks again, and statistics are reported once. The block must outlive the backward
/// walk, and no other tracked parameter may be used in it (AutogradError).
Tensor checkpoint(const Module& block, BlockForward forward, const Tensor& x, Ctx& ctx);

using ManyForward = std::function<Tensor(std::span<const Tensor> inputs, Ctx& ctx)>;
/// The same for a block of several inputs, such as a state and its conditions.
Tensor checkpoint(const Module& block, ManyForward forward, std::span<const Tensor> inputs, Ctx& ctx);

/// The same for a block that is called as block(x, ctx).
template <class Block>
Tensor checkpoint(const Block& block, const Tensor& x, Ctx& ctx) {
  return checkpoint(
      block, [&block](const Tensor& in, Ctx& inner) { return block(in, inner); }, x, ctx);
}

}  // namespace retort
