// distill/objectives/tables/policies.h -- tables of the term Policy: advantages of sampled tokens, and the surrogates
// whose gradient is a policy gradient.
#pragma once
#include "distill/objectives/tables/entries.h"
#include "distill/text/token_batch.h"

namespace retort {

/// What advantages are made from, on the host: everything here is constant. N tokens of n responses.
struct PolicyData {
  const Batch& batch;
  std::vector<std::int64_t> row;  ///< [N], the response of each token
  std::int64_t rows = 0;
  std::map<std::string, std::vector<double>, std::less<>> log_prob;  ///< [N] by name; "old" is the sampler's
  Clock clock;
  std::size_t size() const { return row.size(); }
};

/// A value by token, [N], or by response, [n].
struct PolicyValue {
  bool by_row = false;
  std::vector<double> values;
};
struct Advantage {
  std::function<PolicyValue(const PolicyData&)> value;
  std::vector<std::string> names;  ///< log-probabilities that it reads, "old" aside
  Scope scope = Scope::sample;     ///< batch: it looks at all responses of the batch
};

/// Expressions:
///   reward                              the batch's, by response
///   log_ratio(A B)                      log pi_A - log pi_B of the token; old is the policy that sampled it
///   total(X)                            the sum of X over each response
///   budget(TEACHER limit penalty)       the reward while total(log_ratio(student TEACHER)) stays within the limit,
///                                       else minus `penalty` times the excess (a constraint without multiplier)
///   group(std|centre of=reward)         (X - mean) / (deviation + 1e-6) among responses to one prompt; centre: not
///                                       divided
///   rloo(of=reward)                     X - mean of the others
///   to_go(X gamma=1 mean=false)         sum_{u >= t} gamma^(u - t) X_u, over the tokens that are left if `mean`
///   after(X)                            sum_{u > t} X_u
///   bounded(X most)                     X cut to [-most, most];  scaled(X by)
///   distinct                            1 - cosine of the token counts of a response and of another to the same
///                                       prompt, mean over the others
///   whiten(X)                           (X - mean) / deviation over all tokens of the batch
/// Throws ConfigError naming the nearest.
Advantage make_advantage(const Call& call, const NumberMap& numbers);

/// One loss per token. `log_prob` is the policy's, live; others are constants.
struct SurrogateInput {
  Tensor log_prob;                       ///< [N]
  Tensor advantage;                      ///< [N]; undefined when there is none
  Tensor old;                            ///< [N], the sampler's; undefined when the batch was not sampled
  Tensor is_weight;                      ///< [N], of the sampler against the policy that it sampled from
  Tensor off_policy;                     ///< [N], 1 at tokens that somebody else wrote; undefined: none
  std::map<std::string, Tensor> others;  ///< [N], by name
  Clock clock;
};
struct Surrogate {
  std::string formula;
  bool needs_advantage = true;
  std::vector<std::string> names;  ///< of log-probabilities it reads
  std::function<Tensor(const SurrogateInput&)> loss;
};
/// reinforce: -A lp; ppo(low high dual=none is=false): max(-r A, -clip(r, 1 - low, 1 + high) A), r = exp(lp - old), for
/// A < 0 at most -dual A, with is=true r times the sampler's weight; capped(most): -min(r, most) A lp, r constant;
/// shaped(c): -A p / (p + c), p the policy's, at tokens that somebody else wrote, ppo elsewhere (low and high as
/// there); contrast(good bad margin=.5): relu(margin + |lp - lp_good| - |lp - lp_bad|); k1, k2, k3 and rho_k3 of a name
/// T, ell = lp - log p_T: ell, ell^2 / 2, exp(-ell) - 1 + ell, and that times r. As losses at given tokens k1 has a
/// gradient of mean zero, k2 and rho_k3 that of the reverse KL, k3 that of the forward KL.
Surrogate make_surrogate(const Call& call, const NumberMap& numbers);

}  // namespace retort
