// distill/objectives/token.h -- the term Token: sum over response tokens of w D(student, map(targets)) over a
// vocabulary, from the output layers' inputs where both roles are decoders: the logits are then never held.
#pragma once
#include "distill/objectives/tables/tokens.h"
#include "distill/objectives/token_reduce.h"

namespace retort {

/// Everything a preset says about a Token term.
struct TokenSpec {
  std::string name;
  Read student;
  std::vector<Read> targets;
  StatePlan plan;  ///< the views
  TokenDivergence d;
  TargetMap map;  ///< empty: the only target
  TokenSupport support;
  TokenWeight weight;  ///< empty: 1
  double T_student = 1, T_target = 1;
  bool T2 = false;             ///< multiply by T_student T_target
  std::optional<double> clip;  ///< of a token's D, after the sum over the vocabulary; a clipped token has no gradient
  TokenReduce reduce;
};

std::unique_ptr<Term> make_token(TokenSpec spec);

/// Parses `terms.NAME` with `kind: token`: student (a role), target (a read or a list of them; absent for divergences
/// against the tokens), each {role, view}, ROLE, or {store: S}; map, divergence, T, T2, support, clip, weight, reduce.
/// Throws ConfigError at the key that is wrong.
TokenSpec parse_token(const std::string& name, Config& term, const NumberMap& numbers);

/// A read of a role's log-probabilities or output layer, {role: R, view: V}, or R; the view's states join `plan`.
Read parse_token_read(Config& node, Read::From from, StatePlan& plan);

}  // namespace retort
