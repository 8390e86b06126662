// distill/objectives/preference.h -- the term Preference: functions of the scores of responses that answer one prompt.
#pragma once
#include "distill/objectives/tables/preferences.h"

namespace retort {

/// A response's score is the sum of its tokens' log-probabilities, or their mean; the reference's is a constant.
struct PreferenceSpec {
  std::string name;
  std::vector<Read> reads;  ///< log-probabilities of the policy, then the reference's when there is one
  StatePlan plan;
  bool mean = false;
  PreferenceFunction fn;
};
std::unique_ptr<Term> make_preference(PreferenceSpec spec);

/// Parses `terms.NAME` with `kind: preference`: policy, reference (roles, or {role, view}; no reference: scores stand
/// for themselves), score (sum | mean), fn. A unit is a pair, or a group. Throws ConfigError at the key that is wrong.
PreferenceSpec parse_preference(const std::string& name, Config& term, const NumberMap& numbers);

}  // namespace retort
