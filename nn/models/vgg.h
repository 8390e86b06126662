// nn/models/vgg.h -- VGG with batch norm for 32x32 images (Simonyan and Zisserman 2015, without its hidden layers).
#pragma once
#include "nn/models/convnet.h"

namespace retort {

struct VggConfig {
  std::int64_t in_channels = 3, classes = 10;
  int depth = 8;  ///< 8, 11, 13, 16 or 19 by the layers of the original
  int pools = 3;  ///< halvings of the extent, before stages 1 .. pools: 3 for 32x32 images, 4 for 64x64
};

/// Five stages of 3x3 convolutions with 64, 128, 256, 512 and 512 channels: x [n, in_channels, h, w] -> logits
/// [n, classes]. Taps: "stages.i" pre_act and out, "stages.i.blocks.j" pre_act and out, "features" out, "head" in and
/// out.
struct Vgg final : ConvClassifier {
  VggConfig config;
  std::vector<ConvStage> stages;

  /// Throws ConfigError for another depth or number of pools.
  explicit Vgg(const VggConfig& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<Vgg>(*this); }
  std::string arch() const override;

 protected:
  Tensor trunk(const Tensor& x, Ctx& ctx) const override { return through(stages, x, ctx, ctx.recompute); }
  void visit_trunk(Visitor& v) override { v("stages", stages); }
};

}  // namespace retort
