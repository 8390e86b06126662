// distill/train/text_evaluate.h -- how good a language model is: on held-out text, beside a teacher, in its own words.
#pragma once
#include "distill/text/generate.h"
#include "distill/train/evaluate.h"
#include "distill/train/report.h"
#include "distill/train/text_source.h"

namespace retort {

/// `eval` of a job over texts:
///
///     {set: TEXTS, batch: 64, every: 0, roles: {ROLE: words}, teacher: ROLE,
///      prompts: {set: TEXTS, count: 64, max_tokens: n, temperature: 1, top_k: 0, top_p: 1, seed: 1, show: 4}}
struct TextEvalSpec {
  std::shared_ptr<const TokenSet> set;
  std::int64_t batch = 64;
  std::string teacher;  ///< empty: none
  /// Responses that every role writes to the first prompts of a set.
  struct Own {
    std::shared_ptr<const TokenSet> set;
    std::int64_t count = 64, show = 4;
    GenerateSpec how;
    std::uint64_t seed = 1;
  };
  std::optional<Own> own;
};

/// Reads the section, `roles` and `every` apart. Throws ConfigError; also for a teacher that is no language model.
TextEvalSpec parse_text_eval(Config& eval, const TokenSets& sets, const Roles& roles);

/// Every token of every response of the set, in inference mode: mean cross-entropy in nats, the share of tokens that
/// are the likeliest, and bits per byte, the sum over all tokens, marks included, over the bytes among them. With a
/// teacher both KLs a token, summed over the whole vocabulary. With prompts the role's own samples (keyed: every role
/// draws with the same numbers) and, with a teacher, that one's mean log-probability a token of them, which falls where
/// a student goes wrong in its own words. Logits are held for one batch. Throws ConfigError when the role is no
/// language model, ShapeError when the teacher has another vocabulary. Ranks share the batches, and all get the same
/// numbers; what was written is shown by rank 0. On the meta device only the shapes of one batch run.
Evaluation evaluate_texts(const Role& role, const TextEvalSpec& spec, const Roles& roles, Device device,
                          Communicator* ranks = nullptr);

/// Tokens as a person reads them: what the set's tokenizer makes of them, or bytes as they are; control characters and
/// bytes beyond ASCII as \\xHH, marks of bytes as <>; numbers where tokens have no text.
std::string spell(const TokenSet& set, const TokenIds& tokens);

/// "bits per byte 1.912, perplexity 3.76, .." of one role: what logs and `retort eval` say.
std::string text_summary(const Evaluation& e);
/// The role's headline number, its other scores as a table, and what it wrote. `note` stands beside the number.
void add_text_scores(ReportData& data, const std::string& words, const std::string& note, const Evaluation& e);

}  // namespace retort
