// nn/models/wrn.h -- wide residual networks for 32x32 images (Zagoruyko and Komodakis 2016).
#pragma once
#include <optional>

#include "nn/layers/conv_block.h"
#include "nn/models/conv_classifier.h"

namespace retort {

/// relu(norm(x)), x [n, c, h, w]. Taps: pre_act (after the norm), out.
struct NormRelu : Module {
  BatchNorm2d norm;
  explicit NormRelu(std::int64_t channels) : norm(channels) {}
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override { v("norm", norm); }
};

/// A residual block whose norms come first (He et al. 2016b): x + conv2(dropout(act2(conv1(act1(x))))). Where channels
/// change, the sum starts from a 1x1 convolution of act1(x) instead. Tap: out.
struct PreActResidual : Module {
  NormRelu act1, act2;
  Conv2d conv1, conv2;
  Dropout dropout;
  std::optional<Conv2d> shortcut;
  PreActResidual(std::int64_t in, std::int64_t out, std::int64_t stride, double p);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

struct WrnConfig {
  std::int64_t in_channels = 3, classes = 10;
  int depth = 16;  ///< 6 n + 4
  int width = 1;   ///< of 16, 32 and 64 channels
  double dropout = 0;
};

/// x [n, in_channels, h, w] -> logits [n, classes]. Taps: "stem" out (the convolution), "stages.i" out (the sum) and
/// pre_act (the norm that reads it: of the next stage's first block, or of "act"), "stages.i.blocks.j" out, "act"
/// pre_act and out, "features" out, "head" in and out.
struct WideResNet final : ConvClassifier {
  WrnConfig config;
  Conv2d stem;
  std::vector<Stage<PreActResidual>> stages;
  NormRelu act;

  /// Throws ConfigError unless depth is 6 n + 4, n >= 1.
  explicit WideResNet(const WrnConfig& how);
  std::unique_ptr<Model> clone() const override { return std::make_unique<WideResNet>(*this); }
  std::string arch() const override;

 protected:
  Tensor trunk(const Tensor& x, Ctx& ctx) const override;
  void visit_trunk(Visitor& v) override;
};

}  // namespace retort
