#include "nn/decoder.h"

#include "autograd/ops/linalg.h"

namespace retort {

Tensor Decoder::logits(const Tensor& tokens, Ctx& ctx, const DecodeState& state) const {
  const Tensor h = hidden(tokens, ctx, state);
  if (ctx.finished()) return {};
  return linear(h, head_weight(ctx));
}

}  // namespace retort
