// io/tokenizer.h -- texts to token ids and back, by the tokenizers of other people's language models.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

struct TokenizerParts;

/// A tokenizer as a file describes it: added tokens are found first, the text between them is normalised, cut into
/// words, and each word becomes tokens of a vocabulary: by merges (BPE), longest pieces (WordPiece) or the likeliest
/// pieces (Unigram). An object serves one thread at a time: it remembers words that it has seen.
class Tokenizer {
 public:
  explicit Tokenizer(std::unique_ptr<TokenizerParts> parts);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// Token ids of a text; with `special`, between the marks that the file puts around a text (bos, [CLS] ..). Texts are
  /// not cut or padded, whatever the file says. Throws ValueError naming the byte when the text is no well-formed
  /// UTF-8, and when a pattern of the file takes too many steps on it.
  std::vector<std::int64_t> encode(std::string_view text, bool special = true) const;
  /// The text of ids; with `skip_special`, without special tokens. Bytes that are no UTF-8 come as U+FFFD. Throws
  /// ValueError for an id without a token.
  std::string decode(std::span<const std::int64_t> ids, bool skip_special = true) const;

  /// One more than the highest id: the rows that a model's table needs at least.
  std::int64_t vocab_size() const;
  /// The id of a token as the file writes it ("Ġthe", "##ing", "</s>"), or nothing.
  std::optional<std::int64_t> id_of(std::string_view token) const;
  /// The token of an id as the file writes it, or nothing when it has none.
  std::optional<std::string> token(std::int64_t id) const;
  /// Whether the id stands for a mark rather than for text.
  bool is_special(std::int64_t id) const;
  /// Whether tokens spell the bytes of a text one after the other (byte-level BPE), whatever stands beside them.
  bool spells_bytes() const;
  /// How many bytes a token spells then: 0 for special tokens and ids without one.
  std::int64_t bytes_of(std::int64_t id) const;
  /// "BPE", "WordPiece" or "Unigram".
  const std::string& kind() const;

 private:
  std::unique_ptr<TokenizerParts> parts_;
};

/// Reads a tokenizer.json of Hugging Face's tokenizers, a tokenizer.model of SentencePiece (Unigram or BPE), the
/// tokenizer in a GGUF file's metadata (tokenizer.ggml.model gpt2 or llama), or what a conversion kept of the first and
/// the last in a checkpoint; content tells which. Throws IoError that names the file and the place in it for what is
/// damaged, and for every part, option or key that is not known: a tokenizer is read whole or not at all.
Tokenizer open_tokenizer(const std::filesystem::path& path);

}  // namespace retort
