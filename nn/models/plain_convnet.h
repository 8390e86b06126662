// nn/models/plain_convnet.h -- the small ConvNet of data-set distillation: blocks of one width, each halving the image.
#pragma once
#include "nn/layers/conv_block.h"
#include "nn/layers/linear.h"
#include "nn/model.h"

namespace retort {

struct PlainConvNetConfig {
  std::int64_t in_channels = 3, height = 32, width_of_image = 32, classes = 10;
  std::int64_t width = 128;
  int depth = 3;
  NormKind norm = NormKind::instance;
};

/// x [n, in_channels, h, w] -> logits [n, classes]: `depth` times convolution 3x3, norm, ReLU, average pooling 2x2; the
/// last map, flattened, goes into a linear layer (Gidaris and Komodakis 2018; Zhao, Mopuri, Bilen 2021, 2006.05929).
/// Laws of weights are He's uniform with gain sqrt(1/3), PyTorch's default. Taps: "blocks.i" pre_act and out, "head" in
/// and out.
struct PlainConvNet final : Model {
  PlainConvNetConfig config;
  std::vector<ConvBlock> blocks;
  Linear head;

  /// Throws ConfigError when the image is gone before the last block.
  explicit PlainConvNet(const PlainConvNetConfig& how);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<PlainConvNet>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

}  // namespace retort
