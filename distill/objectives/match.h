// distill/objectives/match.h -- the term Match: sum over units of w D(relate(pred), relate(map(targets))).
#pragma once
#include "distill/objectives/discrepancy.h"

namespace retort {

/// Everything a preset says about a Match term.
struct MatchSpec {
  std::string name;
  std::vector<Read> pred, target;  ///< no target: labels
  std::vector<State> states;
  Discrepancy d;
  Relation relate, relate_target;  ///< of predictions; of targets after `map`
  TargetMap map;
  UnitWeight weight;          ///< empty: 1
  std::vector<double> pairs;  ///< weights of the pairs of a list; empty: 1 each
  double T_pred = 1, T_target = 1;
  bool T2 = false;           ///< multiply by T_pred T_target
  bool mean_within = false;  ///< divide the value of a pair by its number of elements per sample
};

std::unique_ptr<Term> make_match(MatchSpec spec);

/// Parses `terms.NAME` of a preset with `kind: match`: pred, target (a read, a list of them, or label), points, relate,
/// relate_target, map, d, weight, pairs, T, T2, reduce. `source` is returned by the caller's own reading of `from`.
/// Throws ConfigError at the key that is wrong.
MatchSpec parse_match(const std::string& name, Config& term, const NumberMap& numbers);

/// A read: ROLE, ROLE@STATE or {role | store, at, out | tap | head, live}.
Read parse_read(Config& node);
/// PATH or PATH:PORT.
TapId parse_tap(const std::string& text);

}  // namespace retort
