// nn/models/bert.h -- encoders of texts: BERT, RoBERTa, and sentence embeddings made of them.
#pragma once
#include "nn/layers/embedding.h"
#include "nn/layers/transformer.h"
#include "nn/model.h"

namespace retort {

/// What becomes of the states: none (they are the result), their mean over tokens that are no padding, the first
/// token's, or BERT's pooler, tanh(linear(first)).
enum class Pooling : std::uint8_t { none, mean, first, pooler };

struct BertConfig {
  std::int64_t vocab = 30522, context = 512;  ///< context: the most positions
  std::int64_t width = 768, depth = 12, heads = 12;
  std::int64_t hidden = 0;   ///< of the perceptron; 0: 4 width
  std::int64_t types = 2;    ///< kinds of segments
  std::int64_t padding = 0;  ///< the token that nobody sees
  bool counted = false;      ///< RoBERTa's positions
  Activation act = Activation::gelu;
  double eps = 1e-12;  ///< of the norms
  Pooling pool = Pooling::none;
  bool unit = false;   ///< the result has norm 1; nought stays nought
  double dropout = 0;  ///< of embeddings and branches
};

/// Tokens i64 [n, t] -> states [n, t, width], or pooled [n, width] (Devlin et al. 2019; post-norm, learned positions;
/// pooling as Reimers and Gurevych 2019). Tokens that are `padding`, wherever they stand, are seen by nobody; their own
/// states mean nothing. Positions are those in the row; `counted` ones begin at padding + 1, count what is no padding,
/// and stay at `padding` for padding (Liu et al. 2019), so that context - padding - 1 tokens can be read. Taps:
/// "embed_norm" out (embeddings after norm and dropout), "blocks.i" out, "blocks.i.attn" (see SelfAttention),
/// "blocks.i.mlp" pre_act.
struct Bert final : Model {
  BertConfig config;
  Embedding embed, positions, types;
  LayerNorm embed_norm;
  Dropout dropout;
  std::vector<TransformerBlock> blocks;
  std::optional<Linear> pooler;

  /// Throws ConfigError for sizes that do not fit.
  explicit Bert(const BertConfig& how);
  Tensor forward(const Tensor& tokens, Ctx& ctx) const override { return encode(tokens, {}, ctx); }
  /// With the segment i64 [n, t] of each token; undefined: all 0. Undefined when the model may stop after a tap. Throws
  /// ShapeError for more positions than there are (ValueError if they are counted), ValueError for an unknown token or
  /// segment.
  Tensor encode(const Tensor& tokens, const Tensor& segments, Ctx& ctx) const;
  std::unique_ptr<Model> clone() const override { return std::make_unique<Bert>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override;

 private:
  Tensor places(const Tensor& visible) const;
  Tensor pooled(const Tensor& states, const Tensor& visible, Ctx& ctx) const;
};

std::string_view name_of(Pooling pooling);

}  // namespace retort
