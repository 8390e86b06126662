// io/tokenizer_parts.h -- what a tokenizer is made of; the readers of tokenizer files put these together.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/json_node.h"
#include "io/regex.h"
#include "io/tensor_file.h"
#include "io/tokenizer_added.h"

namespace retort {

using TokenIdList = std::vector<std::int64_t>;

/// Lets tables of texts be asked with views.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <class T>
using TextTable = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

/// Tokens and their ids, which need not be dense but nearly so: a table of ids stays in proportion to the tokens.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  /// Throws IoError at `where` for a token that is taken or an id out of range.
  void add(const std::string& token, std::int64_t id, const JsonNode& where);
  /// To be called when all tokens are there: throws IoError at `where` for an id that two tokens have, or one that
  /// leaves most ids below it unused.
  void index(const JsonNode& where);

  std::optional<std::int64_t> find(std::string_view token) const;
  /// Null when the id has no token.
  const std::string* token(std::int64_t id) const;
  std::int64_t end() const { return static_cast<std::int64_t>(tokens_.size()); }  ///< one more than the highest id
  std::size_t longest() const { return longest_; }                                ///< bytes of the longest token

 private:
  TextTable<std::int64_t> ids_;
  std::vector<const std::string*> tokens_;  ///< keys of ids_, which stay where they are when the table moves
  std::size_t longest_ = 0;
};

/// Turns words into tokens of its vocabulary.
class TokenModel {
 public:
  explicit TokenModel(std::string kind, Vocabulary vocabulary)
      : vocabulary(std::move(vocabulary)), kind(std::move(kind)) {}
  virtual ~TokenModel() = default;
  /// Appends the tokens of one word.
  virtual void encode(std::string_view word, TokenIdList& out) const = 0;

  const Vocabulary vocabulary;
  const std::string kind;
};

/// What models remember of words: bounded, and of short words only.
class WordCache {
 public:
  /// The tokens of the word, or null.
  const TokenIdList* find(std::string_view word) const;
  void put(std::string_view word, TokenIdList tokens);

 private:
  TextTable<TokenIdList> words_;
};

class TextNormalizer {
 public:
  virtual ~TextNormalizer() = default;
  virtual std::string apply(std::string_view text) const = 0;
};

/// A text in pieces, none of them empty.
class TextPieces {
 public:
  /// `leading`: the piece begins where the whole text does.
  void add(std::string_view piece, bool leading);
  void clear();
  std::size_t size() const { return ends_.size(); }
  std::string_view piece(std::size_t i) const;
  bool leading(std::size_t i) const { return i == 0 && leading_; }

 private:
  std::string text_;
  std::vector<std::size_t> ends_;
  bool leading_ = false;
};

/// Cuts a piece of text into words, or changes it.
class TextSplitter {
 public:
  virtual ~TextSplitter() = default;
  virtual void split(std::string_view piece, bool leading, TextPieces& out) const = 0;
};

/// Turns the texts of tokens into texts that, joined, are the decoded one.
class TokenDecoder {
 public:
  virtual ~TokenDecoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

/// Ids around a text; nothing stands for the text.
using TokenTemplate = std::vector<std::optional<std::int64_t>>;

struct TokenizerParts {
  std::unique_ptr<TokenModel> model;
  AddedTokens added;
  std::unique_ptr<TextNormalizer> normalizer;            ///< or null
  std::vector<std::unique_ptr<TextSplitter>> splitters;  ///< in turn
  std::vector<std::unique_ptr<TokenDecoder>> decoders;   ///< in turn
  bool spells_bytes = false;                             ///< the one decoder joins bytes
  std::vector<TokenTemplate> templates;                  ///< in turn
};

/// Readers of the sections of a tokenizer.json, each named by its `type`.
std::unique_ptr<TokenModel> read_token_model(const JsonNode& at);
std::unique_ptr<TextNormalizer> read_normalizer(const JsonNode& at);
void read_splitters(const JsonNode& at, std::vector<std::unique_ptr<TextSplitter>>& out);
void read_decoders(const JsonNode& at, std::vector<std::unique_ptr<TokenDecoder>>& out);

/// The table of replacements that SentencePiece keeps, in base64.
std::unique_ptr<TextNormalizer> read_charsmap(const JsonNode& at);
/// A pattern {"String": ..} or {"Regex": ..}.
Regex read_pattern(const JsonNode& at);
/// The text with every match replaced.
std::string replace_matches(std::string_view text, const Regex& pattern, std::string_view by);

/// GPT-2's alphabet: a printable character for every byte. The text's bytes in it, and back: the bytes, or nothing when
/// a character is not of the alphabet.
std::string to_byte_alphabet(std::string_view bytes);
std::optional<std::string> from_byte_alphabet(std::string_view text);
/// The pattern by which GPT-2 cuts texts into words.
extern const char* const kGpt2Pattern;

/// What a splitter does with the matches of its pattern.
enum class SplitBehavior : std::uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };
std::unique_ptr<TextSplitter> split_at_pattern(Regex pattern, SplitBehavior behavior, bool invert);
std::unique_ptr<TextSplitter> split_into_digits();
/// Writes a piece in the byte alphabet.
std::unique_ptr<TextSplitter> spell_in_bytes();
std::unique_ptr<TokenDecoder> join_bytes();
/// Byte-pair encoding (Sennrich et al. 2016): the pair of neighbours with the lowest rank becomes one token, over and
/// over.
struct BpeOptions {
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
  std::string unknown;                                      ///< the token for characters without one, or "": none
  std::string prefix, suffix;                               ///< of a word's characters but the first; of its last
  bool fuse_unknown = false;                                ///< neighbours without tokens are one unknown token
  bool byte_fallback = false;                               ///< characters without tokens are the tokens of their bytes
  bool ignore_merges = false;                               ///< a word that is a token is that token
};
/// Throws IoError at `at` when the vocabulary lacks a part or the outcome of a merge.
std::unique_ptr<TokenModel> make_bpe(Vocabulary vocabulary, BpeOptions options, const JsonNode& at);
/// "left right", or ["left", "right"].
std::vector<std::pair<std::string, std::string>> read_merges(const JsonNode& at);
std::unique_ptr<TokenModel> read_bpe(const JsonNode& at);
std::unique_ptr<TokenModel> read_wordpiece(const JsonNode& at);
std::unique_ptr<TokenModel> read_unigram(const JsonNode& at);
/// Scores by id: log-probabilities; NaN for tokens that no text has.
std::unique_ptr<TokenModel> make_unigram(Vocabulary vocabulary, std::vector<double> scores,
                                         std::optional<std::int64_t> unknown, bool byte_fallback);
/// `{"token": id, ..}`.
Vocabulary read_vocabulary(const JsonNode& at);
/// The id of the token; throws IoError at `at` when there is none.
std::int64_t wanted_token(const Vocabulary& vocabulary, const std::string& token, const JsonNode& at);

/// "<0x0A>", how vocabularies with byte fallback write a byte.
std::string byte_token(unsigned char byte);

/// The tokenizer in the metadata of a GGUF file, under tokenizer.ggml.
std::unique_ptr<TokenizerParts> read_gguf_tokenizer(const TextMap& metadata, const std::string& where);
/// The tokenizer that a tokenizer.json says.
std::unique_ptr<TokenizerParts> read_json_tokenizer(std::string_view text, const std::string& where);

}  // namespace retort
