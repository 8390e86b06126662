// distill/text/perplexity.h -- how well a saved language model foretells texts: cross-entropy by windows that slide.
#pragma once
#include "distill/data/chat.h"
#include "distill/text/saved_lm.h"

namespace retort {

/// A text to be foretold. The first token cannot be.
struct MeasuredText {
  TokenIds ids;
  std::vector<bool> counts;  ///< by token; empty: all do
  std::int64_t bytes = 0;    ///< of the text that counts
};

/// Windows of `window` tokens begin `stride` apart, and each token is foretold in the first one that has it, by at
/// least window - stride tokens where there are as many. 0: the model's context, at most 1024, and half the window.
struct PerplexitySpec {
  std::int64_t window = 0, stride = 0;
};

struct Perplexity {
  std::int64_t tokens = 0, bytes = 0;  ///< that were foretold
  double nats = 0;                     ///< their summed cross-entropy
  std::int64_t window = 0, stride = 0;

  /// "perplexity 11.2, cross-entropy 2.416 nats a token, bits per byte 0.8 (N tokens, M bytes; windows ..)".
  std::string str() const;
};

/// Throws ConfigError for a window that the model cannot read or a stride that leaves tokens without a window, and
/// ValueError when no token counts. Logits are held for a piece of a window.
Perplexity measure_texts(const SavedLm& lm, const std::vector<MeasuredText>& texts, const PerplexitySpec& spec);

/// A plain text as a whole, with the marks that the tokenizer puts around it.
MeasuredText measured_text(const LmCodec& codec, const std::string& text);
/// A conversation, of which answers and their end marks count.
MeasuredText measured_chat(const LmCodec& codec, const ChatFormat& format, const std::vector<ChatMessage>& messages);
/// A file: text as one, or with the extension .jsonl the member `text` of each line; with a format, their `messages`.
std::vector<MeasuredText> measured_file(const LmCodec& codec, const std::filesystem::path& path,
                                        const ChatFormat* format);

}  // namespace retort
