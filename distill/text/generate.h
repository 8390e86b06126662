// distill/text/generate.h -- responses sampled from a decoder: keyed draws, temperature, truncation, a cache.
#pragma once
#include <functional>
#include <optional>

#include "nn/decoder.h"
#include "tensor/rng.h"

namespace retort {

/// How the next token is drawn from logits. Entries outside the k likeliest, outside the smallest set whose mass
/// reaches p, or less likely than min_p times the likeliest, are left out; temperature 0 takes the likeliest.
struct Sampling {
  double temperature = 1;
  std::int64_t top_k = 0;  ///< 0: all
  double top_p = 1;        ///< 1: all
  double min_p = 0;        ///< 0: all
};
/// Probabilities [V] of the next token.
std::vector<double> sampling_law(std::span<const double> logits, const Sampling& how);
/// The outcome at which the cumulated law passes u in [0, 1).
std::int64_t draw_token(std::span<const double> law, double u);

/// A second decoder that takes part in the draw: the law is (1 - share) own + share its (MiniLLM, Gu et al. 2024).
struct SecondVoice {
  const Decoder* decoder = nullptr;
  double share = 0;
};

struct GenerateSpec {
  Sampling sampling;
  std::int64_t max_tokens = 0;  ///< of a response
  std::int64_t end = -1;        ///< closes a response, and is part of it; -1: none does
  SecondVoice second = {};
  /// Told every token as soon as it is drawn; true closes the row behind it.
  std::function<bool(std::size_t row, std::int64_t token)> watch = {};
};

/// Responses by row; the end mark included.
struct Generated {
  std::vector<std::vector<std::int64_t>> tokens;
  std::vector<std::vector<double>> log_prob;  ///< of each token in the decoder's own law at temperature 1
  std::vector<std::vector<double>> weight;  ///< own / drawn-from probability at temperature 1; 1 without a second voice
};

/// Continues `prompts` (none empty, each at most `prompt_width` long: they are padded to that, so that a row does not
/// depend on the others). Token t of row i is drawn with the uniform number (key, samples[i], t): the same for any
/// split of the rows. `contexts` makes a fresh context for each call of a decoder. Nothing is differentiated.
Generated generate(const Decoder& decoder, const std::vector<std::vector<std::int64_t>>& prompts,
                   std::int64_t prompt_width, const GenerateSpec& spec, const RngKey& key,
                   std::span<const std::int64_t> samples, const std::function<Ctx()>& context, DType dtype);

}  // namespace retort
