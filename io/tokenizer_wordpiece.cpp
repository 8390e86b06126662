// io/tokenizer_wordpiece.cpp -- WordPiece: the longest token that begins a word, then the longest that goes on.
#include "io/tokenizer_parts.h"
#include "io/unicode.h"

namespace retort {
namespace {

class WordPieceModel : public TokenModel {
 public:
  WordPieceModel(Vocabulary v, const std::string& unknown, std::string prefix, std::int64_t longest_word,
                 const JsonNode& at)
      : TokenModel("WordPiece", std::move(v)),
        unknown_(wanted_token(vocabulary, unknown, at)),
        prefix_(std::move(prefix)),
        longest_word_(longest_word) {}

  void encode(std::string_view word, TokenIdList& out) const override {
    if (const TokenIdList* known = cache_.find(word)) {
      out.insert(out.end(), known->begin(), known->end());
      return;
    }
    TokenIdList tokens = pieces_of(word);
    out.insert(out.end(), tokens.begin(), tokens.end());
    cache_.put(word, std::move(tokens));
  }

 private:
  TokenIdList pieces_of(std::string_view word) const {
    std::int64_t characters = 0;
    for (const char c : word) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (characters > longest_word_) return {unknown_};
    TokenIdList tokens;
    std::string piece;
    for (std::size_t at = 0; at < word.size();) {
      piece = at > 0 ? prefix_ : "";
      const std::size_t head = piece.size();
      piece.append(word, at, vocabulary.longest());  // no token is longer
      std::optional<std::int64_t> found;
      while (piece.size() > head && !(found = vocabulary.find(piece))) piece.pop_back();
      if (!found) return {unknown_};
      tokens.push_back(*found);
      at += piece.size() - head;
    }
    return tokens;
  }

  std::int64_t unknown_;
  std::string prefix_;
  std::int64_t longest_word_;  ///< characters
  mutable WordCache cache_;
};

}  // namespace

std::unique_ptr<TokenModel> read_wordpiece(const JsonNode& at) {
  at.only({"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
  return std::make_unique<WordPieceModel>(read_vocabulary(at.at("vocab")), at.at("unk_token").text(),
                                          at.at("continuing_subword_prefix").text(),
                                          at.at("max_input_chars_per_word").integer(0, INT64_MAX), at);
}

}  // namespace retort
