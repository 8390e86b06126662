// nn/layers/patch_embed.h -- an image as a sequence of patches.
#pragma once
#include "autograd/ops/shape.h"
#include "nn/layers/conv2d.h"

namespace retort {

/// Patches of `patch` x `patch` pixels, each mapped to a vector: x [n, in, h, w] -> [n, (h / patch) (w / patch), width]
/// in reading order (Dosovitskiy et al. 2021). Throws ShapeError when the patches do not tile the image. Tap: out.
struct PatchEmbed : Module {
  std::int64_t patch;
  Conv2d proj;
  PatchEmbed(std::int64_t in, std::int64_t width, std::int64_t patch_size, bool bias = true)
      : patch(patch_size), proj(in, width, patch_size, {.stride = patch_size}, bias) {}
  Tensor operator()(const Tensor& x, Ctx& ctx) const {
    if (x.rank() != 4 || x.size(2) % patch != 0 || x.size(3) % patch != 0)
      throw ShapeError("patch_embed: images must be [n, c, h, w] of whole patches of {}; got {}", patch, x.str());
    const Tensor grid = permute(proj(x, ctx), {0, 2, 3, 1});
    const Tensor y = reshape(grid, {x.size(0), grid.size(1) * grid.size(2), grid.size(3)});
    ctx.tap(*this, "out", y);
    return y;
  }
  void visit(Visitor& v) override { v("proj", proj); }
};

}  // namespace retort
