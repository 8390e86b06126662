// distill/text/lm_codec.h -- texts into a language model's tokens and back, whole or as they are written.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "distill/data/token_set.h"
#include "io/tokenizer.h"

namespace retort {

/// A tokenizer, or bytes with one mark (distill/data/text_coder.h) where there is none.
class LmCodec {
 public:
  LmCodec() = default;  ///< bytes
  explicit LmCodec(Tokenizer tokenizer) : tokenizer_(std::make_shared<const Tokenizer>(std::move(tokenizer))) {}

  /// With `special`, between the marks that the tokenizer puts around a text. Throws ValueError for what is no UTF-8.
  TokenIds encode(std::string_view text, bool special) const;
  /// Without marks; bytes that are no UTF-8 come as U+FFFD, ids without a token as nothing.
  std::string decode(std::span<const std::int64_t> ids) const;
  std::int64_t vocab_size() const;
  /// The id of a token as its file writes it, or nothing.
  std::optional<std::int64_t> id_of(std::string_view token) const;
  bool is_special(std::int64_t id) const;
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
};

/// The continuation of a prompt, token by token: text is handed on as soon as no later token can change it, so that no
/// character comes in halves, and never beyond the first of `stops`, of which nothing is shown.
class TextStream {
 public:
  TextStream(const LmCodec& codec, TokenIds prompt, std::vector<std::string> stops);
  /// Takes the next token and returns what may be shown.
  std::string push(std::int64_t token);
  /// What was held back, when no token follows.
  std::string finish();
  /// Whether one of `stops` was met: later tokens are not looked at.
  bool stopped() const { return stopped_; }

 private:
  std::string release(bool last);

  const LmCodec& codec_;
  TokenIds ids_;
  std::vector<std::string> stops_;
  std::size_t from_ = 0, read_;  ///< tokens from `from_` are decoded; the text of those before `read_` was taken
  std::string held_;
  bool stopped_ = false;
};

}  // namespace retort
