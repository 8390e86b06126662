#include "nn/denoiser.h"

namespace retort {

Tensor Denoiser::forward(const Tensor& x, Ctx& ctx) const {
  return forward(x, ctx.given ? *ctx.given : Conditions{}, ctx);
}

}  // namespace retort
