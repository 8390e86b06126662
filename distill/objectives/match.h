// distill/objectives/match.h -- the term Match: sum over units of D(relate(pred), relate(target)).
#pragma once
#include "distill/objectives/discrepancy.h"

namespace retort {

/// Everything a preset says about a Match term.
struct MatchSpec {
  std::string name;
  Read pred;
  std::optional<Read> target;  ///< absent: labels
  Discrepancy d;
  std::function<Tensor(const Tensor&)> relate;
  double T_pred = 1, T_target = 1;
  bool T2 = false;           ///< multiply by T_pred T_target
  bool mean_within = false;  ///< divide a unit's value by its number of elements
};

std::unique_ptr<Term> make_match(MatchSpec spec);

/// Parses `terms.NAME` of a preset with `kind: match`: pred, target, relate, d, T, T2, reduce. `source` is returned by
/// the caller's own reading of `from`. Throws ConfigError at the key that is wrong.
MatchSpec parse_match(const std::string& name, Config& term);

}  // namespace retort
