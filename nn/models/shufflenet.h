// nn/models/shufflenet.h -- ShuffleNet V1 (Zhang et al. 2018) and V2 (Ma et al. 2018) for 32x32 images.
#pragma once
#include "nn/layers/conv_block.h"
#include "nn/models/conv_classifier.h"

namespace retort {

/// Channels g (C / groups) + c of x [n, C, h, w] become c groups + g: what group g computed goes to every group of the
/// next convolution. The result is channels-last. Throws ShapeError when `groups` does not divide C.
Tensor channel_shuffle(const Tensor& x, std::int64_t groups);

/// The unit of V1: a 1x1 convolution to a quarter of the channels, shuffle, 3x3 depthwise, 1x1; then ReLU of the sum
/// with x or, with `down` (stride 2), of the concatenation with x's average over 3x3. Taps: pre_act, out.
struct ShuffleUnitV1 : Module {
  ConvBlock reduce, depthwise, expand;
  bool down;
  ShuffleUnitV1(std::int64_t in, std::int64_t out, std::int64_t first_groups, std::int64_t groups, bool halves);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// The unit of V2: one half of the channels passes, the other goes through 1x1, 3x3 depthwise and 1x1; concatenated and
/// shuffled over 2 groups. A unit that halves the extent reads all channels on both sides, and its left side is a 3x3
/// depthwise of stride 2 and a 1x1. Taps: pre_act (passed half and right side before its last ReLU; both sides of a
/// halving unit; not shuffled), out.
struct ShuffleUnitV2 : Module {
  std::vector<ConvBlock> left, right;  ///< left is empty where a half passes
  /// A unit that keeps the shape, of `channels`.
  explicit ShuffleUnitV2(std::int64_t channels);
  /// A unit that halves the extent.
  ShuffleUnitV2(std::int64_t in, std::int64_t out);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

struct ShuffleNetV1Config {
  std::int64_t in_channels = 3, classes = 10;
};
/// x [n, in_channels, h, w] -> logits [n, classes]: the network with 3 groups; its stem is a 1x1 convolution of
/// stride 1. Taps: "stem", "stages.i" and "stages.i.blocks.j" pre_act and out, "features" out, "head" in and out.
struct ShuffleNetV1 final : ConvClassifier {
  ShuffleNetV1Config config;
  ConvBlock stem;
  std::vector<Stage<ShuffleUnitV1>> stages;
  explicit ShuffleNetV1(const ShuffleNetV1Config& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<ShuffleNetV1>(*this); }
  std::string arch() const override;

 protected:
  Tensor trunk(const Tensor& x, Ctx& ctx) const override;
  void visit_trunk(Visitor& v) override;
};

struct ShuffleNetV2Config {
  std::int64_t in_channels = 3, classes = 10;
  double width = 1;  ///< 0.5, 1, 1.5 or 2
};
/// x [n, in_channels, h, w] -> logits [n, classes]. Taps: as ShuffleNetV1's, and "tail" pre_act and out (the last 1x1
/// convolution).
struct ShuffleNetV2 final : ConvClassifier {
  ShuffleNetV2Config config;
  ConvBlock stem;
  std::vector<Stage<ShuffleUnitV2>> stages;
  ConvBlock tail;
  /// Throws ConfigError for a width without a published network.
  explicit ShuffleNetV2(const ShuffleNetV2Config& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<ShuffleNetV2>(*this); }
  std::string arch() const override;

 protected:
  Tensor trunk(const Tensor& x, Ctx& ctx) const override;
  void visit_trunk(Visitor& v) override;
};

}  // namespace retort
