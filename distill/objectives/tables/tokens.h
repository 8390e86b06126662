// distill/objectives/tables/tokens.h -- tables of the term Token: divergences over a vocabulary, which outcomes count,
// weights of tokens.
#pragma once
#include "distill/objectives/tables/entries.h"
#include "distill/text/token_batch.h"
#include "tensor/attrs.h"

namespace retort {

/// What one Token term compares, packed: row i is the i-th token that counts. Logits unless a comment says otherwise.
struct TokenComparison {
  const Batch& batch;
  const TokenPlaces& places;
  Tensor student;   ///< [N, V]; hidden states [N, d] for an entry over those
  Tensors targets;  ///< as read, constant, [N, V'] each
  Tensor target;    ///< [N, V], what `map` made of them; undefined when tokens are compared with
  double T_student = 1, T_target = 1;
  Clock clock = {};
  Rng rng{0};  ///< of the job
  std::uint32_t step = 0;
};

/// One divergence per token, never averaged.
struct TokenDivergence {
  std::string formula;
  enum class Against : std::uint8_t { target, tokens, hidden } against = Against::target;
  bool ragged = false;  ///< student and target may differ in vocabulary
  /// c_k D_k, divergences that the fused output layer knows; empty: `value` needs logits.
  std::function<std::vector<std::pair<double, DivergenceAttrs>>(const Clock&)> parts = {};
  /// [N], in f32 or f64.
  std::function<Tensor(const TokenComparison&)> value = {};
};

/// Divergences: kl(forward|reverse), gkd(beta) (its ends are the unscaled KLs, as in the library of that
/// name), skew(a), skew_reverse(a), tv, jeffreys, mixed(share), clipped_kl(clip), alpha(a), akl(mu=.5); of other kinds
/// ce (the tokens), argmax_ce (the target's likeliest token), uld, private_kl(low high noise), dpkd(beta), advantage
/// (minus the student's mean of the target, an advantage), state_sq (hidden states). Throws ConfigError naming the
/// nearest.
TokenDivergence make_token_divergence(const Call& call, const NumberMap& numbers);
const Table<TokenDivergence>& token_divergences();
const Table<TokenDivergence>& special_token_divergences();

/// Which outcomes are compared. `tail` says what becomes of the rest: both sides are renormalised on the set (which
/// leaves the student's mass outside free), the rest is one more outcome (bucket: a lower bound of the whole), the
/// target's rest is dropped while the student keeps its normaliser (zero), or spread evenly (uniform).
struct TokenSupport {
  enum class Tail : std::uint8_t { renormalise, bucket, zero, uniform };
  std::int64_t k = 0;  ///< 0, or as many as there are: all of them
  bool by_student = false;
  Tail tail = Tail::bucket;
};
/// full, or top(k by=teacher|student tail=bucket).
TokenSupport parse_support(const Call& call);
/// Both sides' log-probabilities at their temperatures on the support: what a divergence takes as logits at T = 1 (for
/// `zero` they do not sum to 1). `kept` are the target's stored outcomes (i64 [N, k]) when `c.target` holds their
/// log-probabilities [N, k] instead of logits.
std::pair<Tensor, Tensor> on_support(const TokenSupport& support, const TokenComparison& c, const Tensor& kept);

/// Detached weights [N] of tokens: skip(k) (the first k of each response have 0), over_tvd(over scale floor) of the
/// first two targets, agreement(g=1 per=token|sequence) of the targets after the first, is(cap) (the source's own).
using TokenWeight = std::function<Tensor(const TokenComparison&)>;
TokenWeight make_token_weight(const Call& call, const NumberMap& numbers);

}  // namespace retort
