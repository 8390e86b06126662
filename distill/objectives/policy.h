// distill/objectives/policy.h -- the term Policy: log-probabilities of sampled tokens times detached advantages.
#pragma once
#include "distill/objectives/tables/policies.h"
#include "distill/objectives/token_reduce.h"

namespace retort {

/// Everything a preset says about a Policy term.
struct PolicySpec {
  std::string name;
  std::vector<Read> reads;                               ///< log-probabilities, the policy's own first
  std::vector<std::string> names;                        ///< what expressions call them; the first is `student`
  StatePlan plan;                                        ///< the views
  std::vector<std::pair<Weight, Advantage>> advantages;  ///< A = sum c_k A_k; empty: surrogates that need none
  Surrogate surrogate;
  TokenReduce reduce;
};

/// Sampling is never differentiated: tokens are data, their advantages constants, and the gradient goes through the
/// policy's log-probabilities alone. A term that whitens advantages sees the whole batch; others see whole groups,
/// which no micro-batch parts.
std::unique_ptr<Term> make_policy(PolicySpec spec);

/// Parses `terms.NAME` with `kind: policy`: policy (a role), with ({NAME: {role, view}}, names for expressions beside
/// those of roles), advantage ([[c, EXPRESSION], ..]), surrogate, reduce. Throws ConfigError at the key that is wrong.
PolicySpec parse_policy(const std::string& name, Config& term, const NumberMap& numbers);

}  // namespace retort
