// nn/models/vit.h -- vision transformers: ViT, and DeiT with its distillation token.
#pragma once
#include "nn/layers/patch_embed.h"
#include "nn/layers/transformer.h"
#include "nn/model.h"

namespace retort {

struct VitConfig {
  std::int64_t image = 224, patch = 16, in_channels = 3, classes = 1000;
  std::int64_t width = 192, depth = 12, heads = 3;
  std::int64_t hidden = 0;   ///< of the perceptron; 0: 4 width
  bool distilled = false;    ///< DeiT: a second token and head, for the teacher's answer
  std::int64_t prompts = 0;  ///< learned tokens after the patches, without positions (Jia et al. 2022, shallow)
  double dropout = 0;        ///< of embeddings and branches
  double drop_path = 0;      ///< of the last block; earlier ones have less, linearly from 0
  static VitConfig tiny() { return {}; }
  static VitConfig small() { return {.width = 384, .heads = 6}; }
  static VitConfig base() { return {.width = 768, .heads = 12}; }
};

/// x [n, in_channels, image, image] -> logits [n, classes] (Dosovitskiy et al. 2021; pre-norm, class token, learned
/// positions). With `distilled` the result is the mean of the two heads' logits, as DeiT answers (Touvron et al. 2021);
/// a loss per head reads the taps "head" out and "head_dist" out. Taps: "patch_embed" out, "blocks.i" out,
/// "blocks.i.attn" (see SelfAttention), "blocks.i.mlp" pre_act, "norm" out (all tokens), "head" in (the class token)
/// and out, "head_dist" in and out.
struct Vit final : Model {
  VitConfig config;
  PatchEmbed patch_embed;
  Parameter class_token, dist_token;  ///< [width]
  Parameter prompts;                  ///< [prompts, width]
  Parameter positions;                ///< [tokens, width], special tokens first
  Dropout dropout;
  std::vector<TransformerBlock> blocks;
  LayerNorm norm;
  Linear head;
  std::optional<Linear> head_dist;

  /// Throws ConfigError for sizes that do not fit.
  explicit Vit(const VitConfig& how);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<Vit>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;

 private:
  Tensor tokens(const Tensor& x, Ctx& ctx) const;
};

}  // namespace retort
