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
/// convolution and a 3x3 max pooling, each of stride 2. The stride of a bottleneck lies in its 3x3 convolution.
struct ResNetConfig {
  std::int64_t in_channels = 3, classes = 1000;
  int depth = 50;
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
  void add_stage(std::int64_t width, int depth, bool bottleneck);
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
  ResNetConfig config;
  /// Throws ConfigError for a depth without a published network.
  explicit ImageResNet(const ResNetConfig& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<ImageResNet>(*this); }
  std::string arch() const override;
};

}  // namespace retort
