// nn/decoder.h -- what training and generation see of a causal language model: hidden states apart from the head.
#pragma once
#include "nn/kv_cache.h"
#include "nn/model.h"

namespace retort {

/// What a decoder is told beside the tokens; the default is whole rows without padding.
struct DecodeState {
  KvCache* cache = nullptr;  ///< the positions before these tokens, to which they are appended
  /// i64 [n]: the first left_pad[i] positions of row i, counted from the row's start (not the cache's end), are
  /// padding. Nobody sees them, and positions count from the first real token. Undefined: none. Padding on the right
  /// needs no word: nothing before it sees it.
  Tensor left_pad = {};
};

/// A causal language model: tokens i64 [n, t] -> logits [n, t, vocab], where position i answers for token i + 1.
struct Decoder : Model {
  /// The states [n, t, width] after the last norm. Undefined when the model may stop after a tap. Throws ShapeError for
  /// more positions than the model or the cache has, ValueError for an unknown token.
  virtual Tensor hidden(const Tensor& tokens, Ctx& ctx, const DecodeState& state = {}) const = 0;
  /// The output matrix [vocab, width], as tracked as `ctx` says: logits = hidden x head'. A loss fused with the product
  /// takes it together with `hidden` and never stores the logits.
  virtual Tensor head_weight(Ctx& ctx) const = 0;
  /// An empty cache for `batch` rows of at most `capacity` positions, where the parameters are.
  virtual KvCache new_cache(std::int64_t batch, std::int64_t capacity, DType dtype = DType::f32) const = 0;

  Tensor logits(const Tensor& tokens, Ctx& ctx, const DecodeState& state) const;
  Tensor forward(const Tensor& tokens, Ctx& ctx) const override { return logits(tokens, ctx, {}); }
};

}  // namespace retort
