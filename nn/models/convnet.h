// nn/models/convnet.h -- plain convolutional classifiers: stages of 3x3 convolutions with pooling between them.
#pragma once
#include "nn/layers/conv_block.h"
#include "nn/models/conv_classifier.h"

namespace retort {

/// Max pooling 2x2 when `pool` is set, then `depth` blocks of one width. Taps: those of Stage.
struct ConvStage : Stage<ConvBlock> {
  bool pool;
  ConvStage(std::int64_t in, std::int64_t out, int depth, bool pool_first, const ConvBlockOptions& how);
  Tensor operator()(Tensor x, Ctx& ctx) const;
};

struct ConvNetConfig {
  std::int64_t in_channels = 1, classes = 10;
  std::vector<int> widths = {32, 64, 128};  ///< channels, one per stage
  int depth = 2;                            ///< convolutions per stage
  int stem = 0;                             ///< convolutions in the first stage, at full size; 0: `depth` as well
  NormKind norm = NormKind::group;          ///< group norm has gcd(8, width) groups
  Activation act = Activation::relu;
  double dropout = 0;  ///< before the head
};

/// x [n, in_channels, h, w] -> logits [n, classes]. Taps: "stages.i" pre_act and out, "stages.i.blocks.j" pre_act and
/// out, "features" out (the pooled vector), "head" in and out.
struct ConvNet final : ConvClassifier {
  ConvNetConfig config;
  std::vector<ConvStage> stages;

  /// Throws ConfigError for a net without stages, or a depth below 1.
  explicit ConvNet(const ConvNetConfig& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<ConvNet>(*this); }
  std::string arch() const override;

 protected:
  Tensor trunk(const Tensor& x, Ctx& ctx) const override { return through(stages, x, ctx, ctx.recompute); }
  void visit_trunk(Visitor& v) override { v("stages", stages); }
};

}  // namespace retort
