// distill/data/text_coder.h -- how the texts of a set become tokens: byte by byte, or by another model's tokenizer.
#pragma once
#include "distill/data/token_set.h"

namespace retort {

/// The token that begins and ends every text of bytes; those below it are the bytes.
inline constexpr std::int64_t kPassageMark = 256;

/// From the `data` section of a job; without `tokenizer` tokens are bytes and one mark (vocabulary 257):
///
///     {tokenizer: FILE (io/tokenizer.h), end: TOKEN, begin: TOKEN, vocab: n}
///
/// `end` is the token, as the file writes it, that closes a text; `begin` the one before it: without, a text stands
/// between two `end`, and one of them parts neighbours. `vocab` are the rows of the models' tables, where they have
/// more than the tokenizer has tokens.
class TextCoder {
 public:
  /// Throws ConfigError at the key for a mark that is no token or a vocabulary smaller than the tokenizer's; IoError
  /// for what is wrong with its file.
  explicit TextCoder(Config& c);

  /// Tokens of a text without marks. Throws IoError "WHERE: .." when the tokenizer does not take the text.
  TokenIds encode(const std::string& text, const std::string& where) const;
  std::int64_t end() const { return end_; }
  /// The mark of its own that begins texts, or -1.
  std::int64_t begin() const { return begin_; }
  std::shared_ptr<TokenSet> make_set(std::vector<TokenRow> rows) const;

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;  ///< null: bytes
  std::int64_t vocab_ = kPassageMark + 1, end_ = kPassageMark, begin_ = -1;
};

}  // namespace retort
