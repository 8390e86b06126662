// nn/models/resnet.h -- residual networks (He, Zhang, Ren, Sun 2016): those of ImageNet and the narrow ones of CIFAR.
#pragma once
#include "nn/layers/residual.h"
#include "nn/models/conv_classifier.h"

namespace retort {

/// The networks for 32x32 images: a 3x3 stem, three stages of (depth - 2) / 6 basic blocks with 16, 32 and 64 channels
/// times `width`. ResNet-8x4 and -32x4 of the distillation literature are width 4 with a stem of 32.
struct CifarResNetConfig {
  std::int64_t in_channels = 3, classes = 10;
  int depth = 20;  ///< 6 n + 2
  int width = 1;
  std::int64_t stem = 16;
};

/// The networks for ImageNet: depth 18 or 34 of basic blocks, 50, 101 or 152 of bottlenecks; the stem is a 7x7
/// convolution and a 3x3 max pooling, each of stride 2. The stride of a bottleneck lies in its 3x3 convolution, or with
/// `early` in its first 1x1, as in the paper. Other networks of this kind have depth 0 and say the rest.
struct ResNetConfig {
  std::int64_t in_channels = 3, classes = 1000;
  int depth = 50;
  bool early = false;
  std::int64_t stem = 64;                     ///< channels
  std::vector<int> widths = {}, blocks = {};  ///< of each stage: channels that come out, and blocks
  bool bottleneck = true;                     ///< its 3x3 convolution has a quarter of the channels
  /// The published depth that has these stages, with `depth` instead of the lists; otherwise as it is.
  ResNetConfig named() const;
  /// The way back. Throws ConfigError for a depth without a published network, and for stages that make no sense.
  ResNetConfig spelled() const;
};

/// x [n, in_channels, h, w] -> logits [n, classes]. Taps: "stem", "stages.i" and "stages.i.blocks.j" pre_act and out,
/// "features" out (the pooled vector), "head" in and out.
struct ResNet : ConvClassifier {
  ConvBlock stem;
  bool pool;  ///< after the stem
  std::vector<Stage<Residual>> stages;

 protected:
  ResNet(std::int64_t in, std::int64_t stem_width, const ConvBlockOptions& stem_options, bool pool_after_stem,
         std::int64_t features_width, std::int64_t classes);
  /// Stages of basic blocks, or of bottlenecks (whose output has 4 times `width` channels); all but the first halve the
  /// extent.
  void add_stage(std::int64_t width, int depth, bool bottleneck, bool early = false);
  /// The laws of the reference: kernels he_normal_of_outputs, the head uniform. Names the modules.
  void finish();
  Tensor trunk(const Tensor& x, Ctx& ctx) const override;
  void visit_trunk(Visitor& v) override;
};

struct CifarResNet final : ResNet {
  CifarResNetConfig config;
  /// Throws ConfigError unless depth is 6 n + 2, n >= 1.
  explicit CifarResNet(const CifarResNetConfig& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<CifarResNet>(*this); }
  std::string arch() const override;
};

struct ImageResNet final : ResNet {
  ResNetConfig config;  ///< as named()
  /// Throws ConfigError for a depth without a published network, and for stages that make no sense.
  explicit ImageResNet(const ResNetConfig& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<ImageResNet>(*this); }
  std::string arch() const override;
};

}  // namespace retort
