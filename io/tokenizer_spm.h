// io/tokenizer_spm.h -- SentencePiece's tokenizers, whichever file describes them. Kudo and Richardson 2018.
#pragma once
#include "io/tokenizer_parts.h"

namespace retort {

/// Numbers as files write them.
enum class SpmType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

struct SpmPiece {
  std::string text;
  double score = 0;
  SpmType type = SpmType::normal;
};

struct SpmModel {
  std::vector<SpmPiece> pieces;  ///< by id
  bool bpe = false;              ///< merges by score; else the likeliest cut (Unigram)
  bool byte_fallback = false;    ///< characters without pieces are those of their bytes
  std::string charsmap;          ///< compiled replacements, or ""
  bool prefix = true;            ///< a text begins with a space, which is put before it
  bool remove_spaces = false;    ///< at its ends, and all but one of several
  TokenTemplate form = {std::nullopt};
};

/// Spaces become U+2581, replacements are looked up as SentencePiece does (the longest at each place), and pieces that
/// a user defined stay whole. Control pieces are found in texts first, as added tokens of other tokenizers are. Throws
/// IoError at `where` for pieces that make no sense together.
std::unique_ptr<TokenizerParts> make_spm(SpmModel model, const std::string& where);
/// A tokenizer.model: the protocol buffer that SentencePiece writes. It does not say which marks stand around a text:
/// none do.
std::unique_ptr<TokenizerParts> read_spm_file(std::string_view bytes, const std::string& where);
/// Whether bytes begin like one.
bool looks_like_spm_file(std::string_view bytes);

/// What SentencePiece does to a text before it cuts it; `kept` are texts that it leaves alone.
struct SpmNormalization {
  std::string charsmap;
  bool prefix = true, remove_spaces = false;
  std::vector<std::string> kept;
};
std::unique_ptr<TextNormalizer> spm_normalizer(SpmNormalization how, const std::string& where);

/// The longest of several texts that another begins with.
class LongestPrefix {
 public:
  explicit LongestPrefix(const std::vector<std::string>& texts);
  /// Its length in bytes; 0: none.
  std::size_t find(std::string_view text) const;

 private:
  TextTable<bool> texts_;
  std::size_t longest_ = 0;
};

}  // namespace retort
