// nn/models/mobilenet.h -- MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen 2018), for ImageNet and for 32x32 images.
#pragma once
#include "nn/layers/residual.h"
#include "nn/models/conv_classifier.h"

namespace retort {

struct MobileNetV2Config {
  std::int64_t in_channels = 3, classes = 1000;
  double width = 1;  ///< factor on all channels but the last 1280, which only grow
  /// The variant of the distillation literature (Jin et al. 2019) for 32x32 images: stage 1 keeps the extent, ReLU
  /// instead of ReLU6, channels truncated instead of rounded to multiples of 8, expansion layers also with factor 1.
  bool cifar = false;
  double dropout = 0.2;  ///< before the head
};

/// x [n, in_channels, h, w] -> logits [n, classes]. Seven stages of inverted residuals between two plain convolutions.
/// Taps: "stem" pre_act and out, "stages.i" out and "stages.i.blocks.j" out (both without activation), "tail" pre_act
/// and out (the last 1x1 convolution), "features" out, "head" in and out.
struct MobileNetV2 final : ConvClassifier {
  MobileNetV2Config config;
  ConvBlock stem;
  std::vector<Stage<Residual>> stages;
  ConvBlock tail;

  explicit MobileNetV2(const MobileNetV2Config& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<MobileNetV2>(*this); }
  std::string arch() const override;

 protected:
  Tensor trunk(const Tensor& x, Ctx& ctx) const override;
  void visit_trunk(Visitor& v) override;
};

}  // namespace retort
