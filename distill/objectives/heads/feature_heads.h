// distill/objectives/heads/feature_heads.h -- the heads that feature methods bring along: densities, margins, pyramids,
// masks, exits.
#pragma once
#include <optional>

#include "distill/objectives/heads/alignment.h"

namespace retort {

/// Mean and variance of a Gaussian over the teacher's map (VID, Ahn et al. 2019): three 1x1 convolutions with ReLU
/// between them give the mean [n, c, h, w]; the variance softplus(rho_c) + 1e-5, [n, c, h, w] with one value per
/// channel, starts at 5.
struct GaussianRegressor final : CopyableHead<GaussianRegressor> {
  std::vector<Conv2d> convs;
  Parameter rho;
  GaussianRegressor(std::int64_t from, std::int64_t to);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

/// max(x, m_c) of a map before its rectifier (OFD, Heo et al. 2019). m_c is the mean of the negative part of a normal
/// variable with the batch norm's shift beta and deviation |gamma|: beta - |gamma| phi(z) / Phi(-z), z = beta /
/// |gamma|; -3 |gamma| where Phi(-z) is at most .001.
struct MarginRelu final : CopyableHead<MarginRelu> {
  Buffer margin;  ///< [c]
  MarginRelu(const Tensor& gamma, const Tensor& beta);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override { v("margin", margin); }
};

/// One level of the pyramid: 1x1 onto the middle width, the deeper level's result added through two sigmoid gates, 3x3
/// onto the teacher's width.
struct FusionLevel : Module {
  Conv2d narrow;
  BatchNorm2d narrow_norm;
  std::optional<Conv2d> gates;  ///< from both, two channels; none at the deepest level
  Conv2d widen;
  BatchNorm2d widen_norm;
  FusionLevel(std::int64_t from, std::int64_t middle, std::int64_t to, bool fuses);
  void visit(Visitor& v) override;
};

/// ReviewKD's fusion from the deepest tap up (Chen et al. 2021): a result for each tap, shallow first, of its
/// counterpart's shape. Vectors [c] count as maps of one pixel.
struct ReviewPyramid final : CopyableHead<ReviewPyramid> {
  std::vector<FusionLevel> levels;
  std::vector<Shape> to;
  ReviewPyramid(const std::vector<Shape>& from, const std::vector<Shape>& like);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override { v("levels", levels); }
};

/// The teacher's map from a student's of which positions, or channels, are hidden, each with probability `share` (MGD,
/// Yang et al. 2022): 1x1 where widths differ, mask, 3x3, ReLU, 3x3. The mask is keyed by step and sample.
struct MaskedGenerator final : CopyableHead<MaskedGenerator> {
  std::optional<Conv2d> align;
  Conv2d first, second;
  double share;
  bool by_channel;
  MaskedGenerator(std::int64_t from, std::int64_t to, double hidden, bool hide_channels);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

/// Masks from student and teacher together (ACAM-KD, Lan and Tian 2025), inputs f_s and f_t: f_s aligned by 1x1 to
/// [n, c, h, w]; queries of f_t attend to keys and values of the aligned map; m channel masks sigmoid(m_c GAP(F)) [n,
/// m, c] and m position masks sigmoid(M_s F) [n, m, hw] of the result F.
struct CooperativeMasks final : CopyableHead<CooperativeMasks> {
  Conv2d align, query, key, value;
  Parameter channel_scale;   ///< [m]
  Parameter position_units;  ///< [m, c]
  CooperativeMasks(std::int64_t from, std::int64_t to, std::int64_t masks);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

/// Logits of early exits (MoSE, 2025): the class token of every tap [t, d], plus that exit's embedding, through one
/// layer norm and one classifier shared by all.
struct SharedExits final : CopyableHead<SharedExits> {
  Parameter exits;  ///< [exits, d]
  LayerNorm norm;
  Linear classifier;
  SharedExits(std::int64_t count, std::int64_t width, std::int64_t classes);
  Tensors forward(const Tensors& in, Ctx& ctx) const override;
  void visit(Visitor& v) override;
};

}  // namespace retort
