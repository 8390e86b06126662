// nn/models/mae.h -- a masked autoencoder: a transformer sees some patches and predicts the others.
#pragma once
#include "nn/layers/patch_embed.h"
#include "nn/layers/transformer.h"
#include "nn/model.h"

namespace retort {

/// Which patches are hidden. With two views the first `hidden` of a random order are hidden in one and the last in the
/// other, so that the two hide as many different patches as they can (DMJD, Ma et al. 2023, 2301.00230).
struct PatchMask {
  double ratio = 0.75;
  int views = 1;
  std::int64_t hidden(std::int64_t patches) const {
    return static_cast<std::int64_t>(ratio * static_cast<double>(patches));
  }
  /// Indices i64 [n, views * k] into the patches of each sample, view after view. A function of (rng, step, sample)
  /// alone: networks that are asked at the same samples hide the same patches.
  struct Indices {
    Tensor hidden, visible;
  };
  Indices of(const Rng& rng, std::uint32_t step, const Tensor& samples, std::int64_t patches, Device device) const;
};

/// x [n, c, h, w] -> [n, (h / p) (w / p), c p p], patches in reading order.
Tensor patches_of(const Tensor& x, std::int64_t patch);
/// Rows of x [n, t, d] at indices i64 [n, k]: [n, k, d].
Tensor token_rows(const Tensor& x, const Tensor& indices);

struct MaeConfig {
  std::int64_t image = 224, patch = 16, in_channels = 3;
  std::int64_t width = 768, depth = 12, heads = 12;
  std::int64_t decoder_width = 512, decoder_depth = 8, decoder_heads = 16;
  std::int64_t target = 0;  ///< values predicted for a patch; 0: its pixels
  PatchMask mask;
};

/// x [n, in, image, image] -> what the decoder predicts for hidden patches [n, views * hidden, target] (He et al. 2022,
/// 2111.06377; positions are learned here). Taps: "blocks.i" out [n * views, 1 + visible, width] (class token first),
/// "norm" out [n, views * visible, width] (visible patches alone, view after view).
struct Mae final : Model {
  MaeConfig config;
  PatchEmbed patch_embed;
  Parameter class_token, mask_token;       ///< [width], [decoder_width]
  Parameter positions, decoder_positions;  ///< [1 + patches, width]
  std::vector<TransformerBlock> blocks;
  LayerNorm norm;
  Linear decoder_embed;
  std::vector<TransformerBlock> decoder;
  LayerNorm decoder_norm;
  Linear head;

  /// Throws ConfigError for sizes that do not fit, or a mask that leaves nothing to see or to predict.
  explicit Mae(const MaeConfig& how);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<Mae>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;

 private:
  Tensor decode(const Tensor& visible, const PatchMask::Indices& at, Ctx& ctx) const;
};

}  // namespace retort
