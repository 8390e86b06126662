// nn/models/causal_lm.h -- decoder-only language models in the two layouts most checkpoints have.
#pragma once
#include "nn/decoder.h"
#include "nn/layers/embedding.h"
#include "nn/layers/transformer.h"

namespace retort {

/// gpt2: learned positions, layer norm, biases, GELU (tanh form) with a hidden width of 4 (Radford et al. 2019).
/// llama: rotary positions, RMS norm, SwiGLU (Touvron et al. 2023), and with other values of the keys below Mistral,
/// Qwen2 and Qwen3.
enum class LmLayout : std::uint8_t { gpt2, llama };
/// Which projections of llama's attention have biases.
enum class LmBias : std::uint8_t { none, qkv, attn };

struct CausalLmConfig {
  LmLayout layout = LmLayout::gpt2;
  std::int64_t vocab = 50257, context = 1024;  ///< context: the most positions
  std::int64_t width = 768, depth = 12, heads = 12;
  std::int64_t kv_heads = 0;                ///< 0: heads; fewer in llama only
  std::int64_t hidden = 0;                  ///< of the perceptron; 0: 4 width
  std::int64_t head_width = 0;              ///< llama; 0: width / heads
  std::int64_t window = 0;                  ///< llama: positive for a sliding window
  LmBias bias = LmBias::none;               ///< llama; gpt2 has all
  bool qk_norm = false;                     ///< llama: RMS norm of queries and keys, over each head
  RotaryConfig rotary = {.base = 10000.0};  ///< llama
  double eps = 1e-5;                        ///< of the norms
  bool tied = true;                         ///< the head is the table of embeddings
  double dropout = 0;                       ///< of embeddings and branches
};

/// Taps: "embed" out (with positions, after dropout), "blocks.i" out, "blocks.i.attn" (see SelfAttention),
/// "blocks.i.mlp" pre_act, "norm" out (the states before the head). Starts from normals of deviation 0.02; gpt2 divides
/// that of the matrices that end a branch by sqrt(2 depth).
struct CausalLm final : Decoder {
  CausalLmConfig config;
  Embedding embed;
  std::optional<Embedding> positions;
  Dropout dropout;
  std::vector<TransformerBlock> blocks;
  std::variant<LayerNorm, RmsNorm> norm;
  std::optional<Linear> head;

  /// Throws ConfigError for sizes that do not fit.
  explicit CausalLm(const CausalLmConfig& how);
  Tensor hidden(const Tensor& tokens, Ctx& ctx, const DecodeState& state = {}) const override;
  Tensor head_weight(Ctx& ctx) const override { return ctx(head ? head->weight : embed.weight); }
  KvCache new_cache(std::int64_t batch, std::int64_t capacity, DType dtype = DType::f32) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<CausalLm>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;
};

}  // namespace retort
