// nn/layers/transformer.h -- the transformer block, pre-norm or post-norm, and its parts.
#pragma once
#include <variant>

#include "nn/layers/attention.h"
#include "nn/layers/dropout.h"
#include "nn/layers/layer_scale.h"
#include "nn/layers/mlp.h"
#include "nn/layers/norm.h"

namespace retort {

struct BlockConfig {
  AttentionConfig attention;
  std::int64_t hidden = 0;  ///< of the perceptron
  bool rms = false;         ///< RMS norm, else layer norm
  double eps = 1e-5;        ///< of the norms
  bool post_norm = false;   ///< norms of the sums instead of the branches' inputs
  bool gated = false;       ///< SwiGLU, else up, `act`, down
  bool joined = false;      ///< a gated one has its first two layers in one, and biases
  Activation act = Activation::gelu;
  double dropout = 0;    ///< of both branches' results
  double drop_path = 0;  ///< probability that a sample skips a branch
  double scale = 0;      ///< positive: branches are multiplied by learned factors that start from this
};

/// x + attn(norm1(x)), then x + mlp(norm2(x)): [n, t, width] -> [n, t, width] (Radford et al. 2019; Llama with rms and
/// gated). With post_norm norm1(x + attn(x)), then norm2(x + mlp(x)) (Vaswani et al. 2017). With `scale` the branches
/// are scale1(attn(..)) and scale2(mlp(..)). Taps: out, and those of attn and mlp.
struct TransformerBlock : Module {
  std::variant<LayerNorm, RmsNorm> norm1, norm2;
  SelfAttention attn;
  std::variant<Mlp, SwiGlu, JoinedSwiGlu> mlp;
  std::optional<LayerScale> scale1, scale2;
  Dropout attn_dropout, mlp_dropout;
  DropPath attn_path, mlp_path;
  bool post_norm;
  explicit TransformerBlock(const BlockConfig& how);
  /// Undefined when the model may stop after a tap in here.
  Tensor operator()(const Tensor& x, Ctx& ctx, const AttentionState& state = {}) const;
  void visit(Visitor& v) override;
};

}  // namespace retort
