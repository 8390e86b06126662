// distill/text/table_lm.h -- a language model that is a table of logits: exact, enumerable, the oracle of text methods.
#pragma once
#include "nn/decoder.h"

namespace retort {

/// The state after each position is its last `order` tokens (fewer at the start), and its logits a row of a table: with
/// order 1 a bigram model; with the order of the longest text every law over texts. As a decoder its hidden states are
/// one-hot over states and its output matrix is the table: logits = onehot(state) table'. The rows start as normals of
/// deviation `spread`.
struct TableLm final : Decoder {
  std::int64_t vocab, order;
  double spread;
  Parameter table;  ///< [vocab, states], states = vocab + vocab^2 + .. + vocab^order

  /// Throws ConfigError beyond 2^20 states.
  TableLm(std::int64_t vocab_size, std::int64_t context_order, double deviation);
  Tensor hidden(const Tensor& tokens, Ctx& ctx, const DecodeState& state = {}) const override;
  Tensor head_weight(Ctx& ctx) const override { return ctx(table); }
  KvCache new_cache(std::int64_t batch, std::int64_t capacity, DType dtype = DType::f32) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<TableLm>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override { v("table", table); }

  std::int64_t states() const { return table.value.size(1); }
  /// The state after these tokens (at least one).
  std::int64_t state_of(std::span<const std::int64_t> tokens) const;
};

}  // namespace retort
