// nn/models/unet.h -- the U-Net of DDPM++ (Song et al. 2021) in the form of Karras et al. 2022 ("EDM").
#pragma once
#include "nn/denoiser.h"
#include "nn/layers/attention.h"
#include "nn/layers/conditions.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/dropout.h"
#include "nn/layers/norm.h"

namespace retort {

struct UnetConfig {
  std::int64_t image = 32, in_channels = 3, out_channels = 3;
  std::int64_t width = 128;               ///< channels at mult 1
  std::vector<int> mult = {1, 2, 2, 2};   ///< channels per level, in units of `width`; each level halves the extent
  std::int64_t blocks = 4;                ///< per level on the way down; one more on the way up
  std::vector<int> attention = {16};      ///< extents at which blocks attend
  std::int64_t embed_mult = 4;            ///< width of the condition, in units of `width`
  std::int64_t classes = 0, augment = 0;  ///< sizes of optional conditions
  double label_drop = 0;
  double dropout = 0.1;  ///< inside blocks
};

enum class Resample : std::uint8_t { none, down, up };

/// Two 3x3 convolutions around a condition, with a skip: [n, in, h, w] -> [n, out, h', w'], where h' is h, h / 2
/// (means) or 2 h (copies); then, if asked for, one head of self-attention over all positions. Each sum is scaled by
/// sqrt(1/2). Taps: out, and those of attn.
struct UnetBlock : Module {
  struct Options {
    std::int64_t in, out, condition;
    Resample resample = Resample::none;
    bool attends = false;
    double dropout = 0;
  };
  Resample resample;
  GroupNorm norm0;
  Conv2d conv0;
  Linear affine;  ///< condition -> a shift per channel
  GroupNorm norm1;
  Dropout dropout;
  Conv2d conv1;
  std::optional<Conv2d> skip;
  std::optional<GroupNorm> norm2;
  std::optional<SelfAttention> attn;
  explicit UnetBlock(const Options& how);
  /// Undefined when the net may stop after a tap in here.
  Tensor operator()(const Tensor& x, const Tensor& condition, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// The blocks of one extent, led by the one that changes it (none at full size). Tap: out.
struct UnetLevel : Module {
  std::optional<UnetBlock> resample;
  std::vector<UnetBlock> blocks;
  void visit(Visitor& v) override;
};

/// x [n, in_channels, image, image], t [n] (EDM's c_noise) -> [n, out_channels, image, image]. Taps: "stem" out,
/// "down.i" and "up.i" out (level i has extent image / 2^i), "mid.0" and "mid.1" out, "down.i.blocks.j" out, ...
struct Unet final : Denoiser {
  UnetConfig config;
  ClassLabels labels;
  std::optional<Linear> label_embed, augment_embed;
  Linear embed0, embed1;
  Conv2d stem;
  std::vector<UnetLevel> down;
  std::vector<UnetBlock> mid;
  std::vector<UnetLevel> up;
  GroupNorm norm;
  Conv2d head;

  /// Throws ConfigError for sizes that do not fit.
  explicit Unet(const UnetConfig& how);
  using Denoiser::forward;
  Tensor forward(const Tensor& x, const Conditions& given, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<Unet>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;

 private:
  void build_levels();
  Tensor condition(const Tensor& x, const Conditions& given, Ctx& ctx) const;
};

}  // namespace retort
