// distill/data/token_set.h -- texts as rows of token ids: a prompt, the response to learn, what only a teacher is told.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "distill/train/config.h"

namespace retort {

using TokenIds = std::vector<std::int64_t>;
class Tokenizer;

/// One text. Ids lie in [0, vocab) of its set.
struct TokenRow {
  TokenIds prompt;    ///< at least one token
  TokenIds response;  ///< with the end mark, unless it was cut
  TokenIds answer;    ///< what a verifier looks for in a response; empty: nothing
  std::int64_t domain = 0;
  double pass_rate = .5;                 ///< how often the student solves it, when that is known beforehand
  std::map<std::string, TokenIds> told;  ///< privileged contexts by name ("answer", "demo1"), marks included
};

/// A finite sequence of texts. Widths are the longest of the set, so that batches of any rows have one shape.
class TokenSet {
 public:
  /// Throws ValueError for an empty prompt, a token outside [0, vocab), or no rows. Each `group` rows belong together.
  TokenSet(std::int64_t vocab, std::int64_t end, std::vector<TokenRow> rows, std::int64_t group = 1);
  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }
  std::int64_t vocab() const { return vocab_; }
  std::int64_t end() const { return end_; }  ///< the token that closes a response; -1: none
  const TokenRow& row(std::int64_t i) const { return rows_.at(static_cast<std::size_t>(i)); }
  std::int64_t prompt_width() const { return prompt_width_; }
  std::int64_t width() const { return width_; }  ///< of prompt and response together
  std::int64_t answer_width() const { return answer_width_; }
  /// Longest context of each name.
  const std::map<std::string, std::int64_t>& told_widths() const { return told_widths_; }
  std::int64_t domains() const { return domains_; }
  std::int64_t group() const { return group_; }
  bool is_private(std::int64_t token) const {
    return !private_.empty() && private_.at(static_cast<std::size_t>(token));
  }
  /// Tokens below it are the bytes of a text, those from it on are marks; 0: tokens are no bytes.
  std::int64_t bytes() const { return bytes_; }
  void set_bytes(std::int64_t count) { bytes_ = count; }
  /// What the tokens come from and can be read by; null: bytes, or words without a text.
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }
  void set_tokenizer(std::shared_ptr<const Tokenizer> tokenizer);
  /// Bytes of text that a token stands for, 0 for marks; only where `has_bytes`.
  std::int64_t bytes_of(std::int64_t token) const;
  bool has_bytes() const { return bytes_ > 0 || !token_bytes_.empty(); }
  /// Tokens that a teacher must not reveal. Throws ValueError for one outside the vocabulary.
  void set_private(const TokenIds& tokens);

 private:
  std::int64_t vocab_, end_, group_, prompt_width_ = 0, width_ = 0, answer_width_ = 1, domains_ = 1, bytes_ = 0;
  std::vector<TokenRow> rows_;
  std::map<std::string, std::int64_t> told_widths_;
  std::vector<bool> private_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<std::int64_t> token_bytes_;
};

/// Texts from the `data` section of a job:
///
///     {kind: markov, count, vocab: 16, prompt: 3, length: 12, domains: 1, sharpness: 2, law: 1, seed: 1, contrast:
///     false,
///      private: [ids]}
///     {kind: text, ..}      # files of text, as bytes or by a tokenizer: distill/data/text_files.h
///
/// markov draws texts of a chain whose transition logits are normal with deviation `sharpness`, keyed by `law` and the
/// domain. The four highest ids are marks: right and wrong (what a reviser is told of a response), apart, end. A
/// response ends where the chain's own length, keyed by the row, ends. The answer is the chain's likeliest successor of
/// the last token of the prompt. Told: "answer" and "half" of the response, "demo1" .. "demo3" (other rows), "bad" (a
/// row read backwards), "skill" (the answer), "right" and "wrong" (also called "label" and "reason", two tasks). Pass
/// rates go through 0, 1/8 .. 1. With `contrast` rows come in pairs that differ in the last token of the prompt alone,
/// and the response is the answer. Null when `kind` is not one of texts. Throws ConfigError.
std::shared_ptr<const TokenSet> make_token_set(Config& config);

}  // namespace retort
