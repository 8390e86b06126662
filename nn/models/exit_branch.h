// nn/models/exit_branch.h -- branches from a stage of a network to class logits of their own.
#pragma once
#include "nn/layers/conv2d.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/model.h"

namespace retort {

/// Two depthwise-separable 3x3 convolutions, each with batch norm and ReLU, the first with stride 2:
/// [n, in, h, w] -> [n, out, ceil(h / 2), ceil(w / 2)]. Channels change in the second.
struct SeparableBlock final : Module {
  Conv2d depthwise1, pointwise1, depthwise2, pointwise2;
  BatchNorm2d norm1, norm2;
  SeparableBlock(std::int64_t in, std::int64_t out);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// From a feature map [c, h, w] to a feature vector and logits, as early exits have it (Zhang et al. 2019; Hao et al.
/// 2023): separable blocks that halve the extent down to `extent` and double the width, the last one to `width` (a 1x1
/// convolution where there is nothing to halve), the global average, one linear layer.
struct ExitBranch final : Module {
  std::vector<SeparableBlock> down;
  std::vector<Conv2d> point;  ///< one, or none beside blocks
  Linear classifier;
  /// Throws ShapeError unless `from` is a feature map.
  ExitBranch(const Shape& from, std::int64_t extent, std::int64_t width, std::int64_t classes);
  struct Result {
    Tensor logits, feature;  ///< [n, classes], [n, width]
  };
  Result operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// The mean over all positions of [n, c, h, w] or tokens of [n, t, c]; vectors stay: [n, c].
Tensor global_average(const Tensor& x);

}  // namespace retort
