// nn/models/vit.h -- vision transformers: ViT, DeiT with its distillation token, DINOv2 with registers.
#pragma once
#include "nn/layers/patch_embed.h"
#include "nn/layers/transformer.h"
#include "nn/model.h"

namespace retort {

/// What the head reads, and what the result is without one: the class token, the mean over patches, the former and the
/// latter one after the other, or every token.
enum class VitPool : std::uint8_t { token, avg, token_avg, none };
/// Images of another size than the positions' are refused, or the grid of positions is resampled, with an antialiasing
/// filter where it shrinks.
enum class VitResample : std::uint8_t { none, bicubic, antialias };

struct VitConfig {
  std::int64_t image = 224;      ///< the height
  std::int64_t image_width = 0;  ///< 0: as the height
  std::int64_t patch = 16, in_channels = 3;
  std::int64_t classes = 1000;  ///< 0: no head
  std::int64_t width = 192, depth = 12, heads = 3;
  std::int64_t hidden = 0;     ///< of the perceptron; 0: 4 width
  bool distilled = false;      ///< DeiT: a second token, and a head of its own for the teacher's answer
  bool dist_head = true;       ///< false: the second token has no head
  std::int64_t registers = 0;  ///< learned tokens before the patches, without positions (Darcet et al. 2024)
  std::int64_t prompts = 0;    ///< the same after the patches (Jia et al. 2022, shallow)
  bool joined = true;          ///< one projection for queries, keys and values
  bool qkv_bias = true;        ///< of that or those
  bool gated = false;          ///< JoinedSwiGlu, else `act`
  Activation act = Activation::gelu;
  double eps = 1e-6;       ///< of the norms
  double layer_scale = 0;  ///< positive: factors of the branches start from this (LayerScale)
  bool pre_norm = false;   ///< CLIP: a norm before the blocks, and patches without bias
  VitPool pool = VitPool::token;
  bool norm_pooled = false;  ///< the last norm is that of what was pooled, not of the tokens
  VitResample resample = VitResample::none;
  double dropout = 0;    ///< of embeddings and branches
  double drop_path = 0;  ///< of the last block; earlier ones have less, linearly from 0
  static VitConfig tiny() { return {}; }
  static VitConfig small() { return {.width = 384, .heads = 6}; }
  static VitConfig base() { return {.width = 768, .heads = 12}; }
  static VitConfig large() { return {.width = 1024, .depth = 24, .heads = 16}; }
  /// DINOv2's layout, small, without registers (Oquab et al. 2024).
  static VitConfig dinov2();
};

/// x [n, in_channels, image, image_width] -> logits [n, classes] (Dosovitskiy et al. 2021; pre-norm, class token,
/// learned positions). Without a head: what `pool` gives, [n, width], [n, 2 width] or [n, tokens, width]. With
/// `distilled` the result is the mean of the two heads' logits, as DeiT answers (Touvron et al. 2021); a loss per head
/// reads the taps "head" out and "head_dist" out. Taps: "patch_embed" out, "pre_norm" out, "blocks.i" out,
/// "blocks.i.attn" (see SelfAttention), "blocks.i.mlp" pre_act, "norm" out (all tokens, or what was pooled), "head" in
/// and out, "head_dist" in and out.
struct Vit final : Model {
  VitConfig config;
  PatchEmbed patch_embed;
  Parameter class_token, dist_token;  ///< [width]
  Parameter registers;                ///< [registers, width]
  Parameter prompts;                  ///< [prompts, width]
  Parameter positions;                ///< [tokens, width], special tokens first
  Dropout dropout;
  std::optional<LayerNorm> pre_norm;
  std::vector<TransformerBlock> blocks;
  LayerNorm norm;
  std::optional<Linear> head, head_dist;

  /// Throws ConfigError for sizes that do not fit.
  explicit Vit(const VitConfig& how);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<Vit>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;

 private:
  std::int64_t special() const { return config.distilled ? 2 : 1; }
  Tensor tokens(const Tensor& x, Ctx& ctx) const;
  Tensor positions_for(const Tensor& x, Ctx& ctx) const;
  Tensor pooled(const Tensor& states, std::int64_t patches) const;
};

/// 24, or 24x40: height and width.
std::string image_text(std::int64_t height, std::int64_t width);
std::string_view name_of(VitPool pool);
std::string_view name_of(VitResample resample);

}  // namespace retort
