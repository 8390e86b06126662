// distill/text/sample_texts.h -- continuations of prompts by a saved language model, in batches that leave no trace.
#pragma once
#include "distill/text/generate.h"
#include "distill/text/saved_lm.h"

namespace retort {

struct SampleTextsSpec {
  Sampling sampling;
  std::int64_t max_tokens = 128;        ///< of a continuation
  std::vector<std::string> stops = {};  ///< texts before which a continuation ends
  std::int64_t copies = 1;              ///< continuations of each prompt
  std::int64_t batch = 16;              ///< rows at a time
  std::uint64_t seed = 1;
  /// Told the text of the first continuation as it comes.
  std::function<void(std::string_view)> show = {};
};

enum class TextEnd : std::uint8_t { mark, stop, length };  ///< length: max_tokens, or the model reads no further

struct SampledText {
  TokenIds tokens;   ///< with the end mark
  std::string text;  ///< without marks and stops
  TextEnd end = TextEnd::length;
};

struct SampleCost {
  std::int64_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;  ///< until the first token of each batch, and from there on
};

/// Continuation c of prompt p is [p * copies + c]. Token t of it is drawn with the uniform number (seed, c, p, t):
/// batches, and the other prompts in them, change nothing but rounding in the logits. Throws ValueError for an empty
/// prompt, one that the model cannot read, and more than 4,194,304 prompts or 1024 copies.
std::vector<SampledText> sample_texts(const SavedLm& lm, const std::vector<TokenIds>& prompts,
                                      const SampleTextsSpec& spec, SampleCost* cost = nullptr);

}  // namespace retort
