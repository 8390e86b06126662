// nn/models/convnet.h -- a plain convolutional classifier: stages of 3x3 convolutions with pooling between them.
#pragma once
#include <variant>

#include "nn/layers/activation.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/model.h"

namespace retort {

enum class NormKind : std::uint8_t { none, group, batch };
/// "group" -> NormKind::group, and back; throws ConfigError naming the known ones.
NormKind norm_from_name(std::string_view name);
std::string_view name_of(NormKind norm);

struct ConvNetConfig {
  std::int64_t in_channels = 1, classes = 10;
  std::vector<int> widths = {32, 64, 128};  ///< channels, one per stage
  int depth = 2;                            ///< convolutions per stage
  int stem = 0;                             ///< convolutions in the first stage, at full size; 0: `depth` as well
  NormKind norm = NormKind::group;          ///< group norm has gcd(8, width) groups
  Activation act = Activation::relu;
  double dropout = 0;  ///< before the head
};

/// Convolution 3x3, norm, activation: [n, in, h, w] -> [n, out, h, w]. The convolution has a bias only without norm.
/// Taps: pre_act, out.
struct ConvBlock : Module {
  Conv2d conv;
  std::variant<std::monostate, GroupNorm, BatchNorm2d> norm;
  Activation act;
  ConvBlock(std::int64_t in, std::int64_t out, NormKind norm_kind, Activation activation);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// Max pooling 2x2 (except in the first stage), then blocks of one width. Tap: out.
struct ConvStage : Module {
  bool pool;
  std::vector<ConvBlock> blocks;
  ConvStage(std::int64_t in, std::int64_t out, bool first, const ConvNetConfig& config);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// [n, c, h, w] -> [n, c], the mean over positions. Tap: out.
struct GlobalAverage : Module {
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor&) override {}
};

/// x [n, in_channels, h, w] -> logits [n, classes]. Taps: "stages.i" out, "stages.i.blocks.j" pre_act and out,
/// "features" out (the pooled vector), "head" in and out.
struct ConvNet final : Model {
  ConvNetConfig config;
  std::vector<ConvStage> stages;
  GlobalAverage features;
  Dropout dropout;
  Linear head;

  /// Throws ConfigError for a net without stages, or a depth below 1.
  explicit ConvNet(const ConvNetConfig& how);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<ConvNet>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

}  // namespace retort
