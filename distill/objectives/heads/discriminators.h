// distill/objectives/heads/discriminators.h -- heads that tell real samples from generated ones, by features at a noisy
// state.
#pragma once
#include "distill/objectives/heads/alignment.h"
#include "nn/layers/norm.h"

namespace retort {

/// b + w u + u' V u of a vector u [n, d] -> [n, 1]: the log ratio of two Gaussians is of this form.
struct Quadratic final : CopyableHead<Quadratic> {
  Linear linear;
  explicit Quadratic(std::int64_t width) : linear(width + width * width, 1) {}
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override { v("linear", linear); }
};

/// DMD2's classifier (Yin et al. 2024) for maps [n, c, h, h], one logit [n, 1] each: 4x4 stride 2, group norm, SiLU, a
/// kernel over all that is left, group norm, SiLU, 1x1. Tokens [n, h h, c] are read as a map. A map of one pixel, or a
/// vector, goes through 1x1 kernels.
struct MapCritic : Module {
  Conv2d shrink;
  GroupNorm norm0;
  Conv2d gather;
  GroupNorm norm1;
  Conv2d logit;
  explicit MapCritic(const Shape& from);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};
struct MapCritics final : CopyableHead<MapCritics> {
  std::vector<MapCritic> critics;
  explicit MapCritics(const std::vector<Shape>& from);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override { v("critics", critics); }
};

/// Mean over the channels of a map, one logit per position [n, h w]: no parameters, the network learns to speak
/// (few-step SiD, 2505.12674).
struct ChannelMean final : CopyableHead<ChannelMean> {
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor&) override {}
};

}  // namespace retort
