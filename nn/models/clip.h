// nn/models/clip.h -- CLIP's two towers (Radford et al. 2021): texts and images into one space.
#pragma once
#include "nn/layers/embedding.h"
#include "nn/models/vit.h"

namespace retort {

/// What becomes of a tower's pooled state.
struct ClipEndConfig {
  std::int64_t project = 512;  ///< features of the common space; 0: no projection
  bool unit = false;           ///< the result has norm 1
  bool scaled = false;         ///< and is multiplied by exp(logit_scale), a parameter
};

/// x [n, width] -> [n, project], a projection without bias; norm and scale as configured. The product of the results of
/// two towers of norm 1, one of which is scaled, is CLIP's logits.
struct ClipEnd : Module {
  ClipEndConfig config;
  std::optional<Linear> projection;
  Parameter logit_scale;  ///< 0-d, from log(1 / 0.07)
  /// Throws ConfigError for a scale without norm.
  ClipEnd(std::int64_t width, const ClipEndConfig& how);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

struct ClipTextConfig {
  std::int64_t vocab = 49408, context = 77;  ///< context: the most positions
  std::int64_t width = 512, depth = 12, heads = 8;
  std::int64_t hidden = 0;  ///< of the perceptron; 0: 4 width
  Activation act = Activation::quick_gelu;
  double eps = 1e-5;      ///< of the norms
  std::int64_t end = -1;  ///< the token whose first state is the text's; negative: the largest token of the row
  ClipEndConfig head = {};
};

/// Tokens i64 [n, t] -> [n, project]: a causal pre-norm encoder whose state at the end token is projected. A row
/// without that token is read at its first one, as in the reference; what comes after the end token is not seen. Taps:
/// "embed" out, "blocks.i" out, "blocks.i.attn" (see SelfAttention), "blocks.i.mlp" pre_act, "norm" out (all states),
/// "end.projection" in and out.
struct ClipText final : Model {
  ClipTextConfig config;
  Embedding embed, positions;
  std::vector<TransformerBlock> blocks;
  LayerNorm norm;
  ClipEnd end;

  /// Throws ConfigError for sizes that do not fit.
  explicit ClipText(const ClipTextConfig& how);
  /// Throws ShapeError for more positions than there are, ValueError for an unknown token.
  Tensor forward(const Tensor& tokens, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<ClipText>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

struct ClipVisionConfig {
  VitConfig tower = layout();
  ClipEndConfig head = {};
  /// ViT-B/32 with a norm before the blocks, and one of the class token behind them.
  static VitConfig layout();
};

/// Images [n, in, h, w] -> [n, project]. Taps: those of the ViT at "tower", "end.projection" in and out.
struct ClipVision final : Model {
  ClipVisionConfig config;
  Vit tower;
  ClipEnd end;

  explicit ClipVision(const ClipVisionConfig& how);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<ClipVision>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

}  // namespace retort
