// distill/train/text_source.h -- sources of texts: a set's own rows, responses sampled from a role, mixtures, replay.
#pragma once
#include "distill/text/token_batch.h"
#include "distill/train/setup.h"

namespace retort {

using TokenSets = std::map<std::string, std::shared_ptr<const TokenSet>>;

/// What a source of texts is made from.
struct TextSettings {
  const TokenSets& sets;
  const Setup& setup;
  const NumberMap& numbers;
  std::function<Source&(Config& node)> source;  ///< the one that a key names
  DType dtype;
  Device device;
};

/// A source of `sources.NAME` of a preset, when it is one of texts (null otherwise), with its batch size. S is a source
/// of texts.
///
///     {kind: data, domain: d, prefix: CONTEXT, respond: text | answer}     # rows of the set that the job names
///     {kind: generate, role: R, prompts: S, per_prompt: 1, temperature: 1, top_k: 0, top_p: 1, max_tokens: n,
///      second: ROLE, share: NUMBER, off_policy: false, view: VIEW, prompt: plain | told | trace, keyed_by: step |
///      index, reward: REWARD}
///     {kind: mixture, per: batch | sample | row, of: [[NUMBER, S], .., [rest, S]]}
///     {kind: replay, of: S, fresh: NUMBER, capacity: n}
///     {kind: pairs, chosen: S, rejected: S}
///     {kind: filter, of: S, keep: RULE, else: S}
///     {kind: voted, of: S}   {kind: verdict, of: S}   {kind: judged, of: S, by: ROLE}
///
/// generate: responses of a role to prompts, n of each, kept together; `reward` is a verifier's. Under a view the role
/// is told more; the batch then holds the plain prompt, what was told, or (trace) the plain prompt with the rest of
/// what was told as the head of the response. By index, a data id has the same responses at every step, as a stored set
/// would. mixture: one coin a batch, one for rows that belong together, or one a row; `rest` is what is left of 1.
/// replay: with probability `fresh` (or while the memory is empty) S, which is remembered; else rows of the memory.
/// pairs: rows 2i and 2i + 1 answer one prompt. filter: a row that the rule drops counts nothing, or is the row of
/// another source. voted: the reward is 1 where the last word is that of most responses to the prompt. verdict: rows
/// whose prompt is prompt and response, and whose response is the context `right` or `wrong`, by reward. judged: the
/// reward is what a role that learnt such verdicts says, log p(right) - log p(wrong). Throws ConfigError at the key
/// that is wrong.
std::unique_ptr<Source> read_text_source(Config& node, Config& job, const TextSettings& settings);

/// weigh: frontier(a b), of data and generate: the weight rate^a (1 - rate)^b of each row, by how often the prompt is
/// solved: what the set says, or the share of the prompt's responses with a positive reward (PACED, 2026).
struct Frontier {
  double a = 1, b = 1;
  double at(double rate) const;
};
std::optional<Frontier> read_frontier(Config& node);

/// Their parts, one file each.
std::unique_ptr<Source> read_generate(Config& node, const TextSettings& settings);
std::unique_ptr<Source> read_mixture(Config& node, const TextSettings& settings);
std::unique_ptr<Source> read_replay(Config& node, const TextSettings& settings);
std::unique_ptr<Source> read_pairs(Config& node, const TextSettings& settings);
std::unique_ptr<Source> read_filter(Config& node, const TextSettings& settings);
std::unique_ptr<Source> read_voted(Config& node, const TextSettings& settings);
std::unique_ptr<Source> read_verdict(Config& node, const TextSettings& settings);
std::unique_ptr<Source> read_judged(Config& node, const TextSettings& settings);

/// The source of texts that a key names. Throws ConfigError.
Source& text_source_named(Config& node, const TextSettings& settings);
/// What a source draws for rows of another that asks it: its own stream, the same step.
DrawRequest request_of(const DrawRequest& asked, const std::string& name, std::int64_t first, std::int64_t rows);

}  // namespace retort
