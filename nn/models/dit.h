// nn/models/dit.h -- diffusion transformers with adaLN-zero conditioning (Peebles and Xie 2023).
#pragma once
#include "nn/denoiser.h"
#include "nn/layers/attention.h"
#include "nn/layers/conditions.h"
#include "nn/layers/dropout.h"
#include "nn/layers/embedding.h"
#include "nn/layers/mlp.h"
#include "nn/layers/norm.h"
#include "nn/layers/patch_embed.h"

namespace retort {

struct DitConfig {
  std::int64_t image = 32, patch = 2;
  std::int64_t in_channels = 4, out_channels = 8;  ///< published models answer noise and a variance each
  std::int64_t classes = 1000;
  std::int64_t width = 384, depth = 12, heads = 6;
  std::int64_t hidden = 0;  ///< of the perceptron; 0: 4 width
  double label_drop = 0.1;
  bool end_time = false;  ///< a second time embedding, for nets that jump from t to s; it starts at zero
  double dropout = 0;     ///< of both branches' results
  static DitConfig small() { return {}; }
  static DitConfig base() { return {.width = 768, .heads = 12}; }
  static DitConfig large() { return {.width = 1024, .depth = 24, .heads = 16}; }
  static DitConfig xl() { return {.width = 1152, .depth = 28, .heads = 16}; }
};

/// x [n, t, width] with condition c [n, width] (after SiLU): each branch reads a layer norm scaled and shifted by c,
/// and is gated by c before it is added. Starts as the identity. Taps: out, and those of attn and mlp.
struct DitBlock : Module {
  LayerNorm norm1, norm2;
  SelfAttention attn;
  Mlp mlp;
  Linear modulation;  ///< to shift, scale, gate of attn, then of mlp
  Dropout attn_dropout, mlp_dropout;
  explicit DitBlock(const DitConfig& how);
  Tensor operator()(const Tensor& x, const Tensor& c, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// x [n, in_channels, image, image], t [n] in [0, 1000] (fractions allowed), label -> [n, out_channels, image, image].
/// Positions are fixed sinusoids. Taps: "patch_embed" out, "blocks.i" out, "blocks.i.attn" (see SelfAttention),
/// "blocks.i.mlp" pre_act. Answers zero until it is trained.
struct Dit final : Denoiser {
  DitConfig config;
  PatchEmbed patch_embed;
  Buffer positions;  ///< [patches, width]
  TimeEmbed time_embed;
  std::optional<TimeEmbed> end_embed;
  ClassLabels labels;
  Embedding label_embed;  ///< classes, then the null class
  std::vector<DitBlock> blocks;
  LayerNorm norm;
  Linear modulation;  ///< to shift and scale of `norm`
  Linear head;        ///< to the pixels of a patch, channels innermost

  /// Throws ConfigError for sizes that do not fit.
  explicit Dit(const DitConfig& how);
  using Denoiser::forward;
  Tensor forward(const Tensor& x, const Conditions& given, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<Dit>(*this); }
  std::string arch() const override;
  bool takes_end_time() const override { return config.end_time; }
  void visit(Visitor& v) override;

 private:
  Tensor condition(const Tensor& x, const Conditions& given, Ctx& ctx) const;
  Tensor image_of(const Tensor& patches) const;
};

}  // namespace retort
