// distill/objectives/match.h -- the term Match: sum over units of w D(relate(pred), relate(map(targets))).
#pragma once
#include "distill/diffusion/weights.h"
#include "distill/objectives/discrepancy.h"

namespace retort {

/// Everything a preset says about a Match term.
struct MatchSpec {
  std::string name;
  std::vector<Read> pred, target;  ///< no target: labels
  StatePlan plan;
  Discrepancy d;
  Relation relate, relate_target;  ///< of predictions; of targets after `map`
  TargetMap map;
  UnitWeight weight;       ///< empty: 1
  TimeWeight time_weight;  ///< of the predictions' times; empty: 1
  std::string weight_end;  ///< the earlier time that it is told; empty: where the first prediction jumps to
  std::string importance;  ///< a state [n] that weighs samples, constant; empty: 1
  /// A read [n, 1] of a network of the samples' times, w: the value of a sample becomes e^-w value + w, trained along
  /// (Karras et al. 2024b; sCM).
  std::optional<Read> log_variance;
  std::vector<double> pairs;  ///< weights of the pairs of a list; empty: 1 each
  double T_pred = 1, T_target = 1;
  bool T2 = false;  ///< multiply by T_pred T_target
  /// What the value of a pair is divided by: nothing, its elements per sample, or those but for the last axis.
  enum class Within : std::uint8_t { sum, mean, tokmean } within = Within::sum;
  Scope scope = Scope::sample;  ///< of the discrepancy and the relations
  bool per_row = false;         ///< a batch-coupled value is divided by the number of its rows
};

std::unique_ptr<Term> make_match(MatchSpec spec);
/// The keys that say how predictions and targets are compared, of a spec whose plan and reads are known: relate,
/// relate_target, map, d, weight, importance, log_variance, pairs, T, T2, reduce.
void parse_comparison(MatchSpec& spec, Config& term, const NumberMap& numbers);

/// Parses `terms.NAME` of a preset with `kind: match`: pred, target (a read, a list of them, or label), points, relate,
/// relate_target, map, d, weight, pairs, importance, T, T2, reduce. `reduce` is WITHIN/UNIT: within a sample a sum, a
/// mean over all elements, or tokmean (sum over the last axis, mean over the others); the unit is `sample`, also for
/// rows of what couples a batch, or `batch`. `source` is returned by the caller's own reading of `from`. Throws
/// ConfigError at the key that is wrong.
MatchSpec parse_match(const std::string& name, Config& term, const NumberMap& numbers,
                      const NoiseSchedule* schedule = nullptr);

/// A read: ROLE, ROLE@STATE, ROLE(COND)@STATE, {role, at, out | tap | head, live, grad, slope, to, cond, guide} or
/// {store, negatives}; {state}, or the words x, noise and a state of the term for themselves. `grad: input`
/// differentiates in the state alone, through weights that stay as they are; `slope: true` reads the gradient in the
/// state; `to: TIME` reads a jump, and ROLE@STATE>TIME is short for it.
Read parse_read(Config& node, const NumberMap& numbers = {}, const StatePlan& plan = {});
/// One read or a list of them; gradients flow into those of a prediction unless they say `live: false`.
std::vector<Read> parse_reads(Config& node, const NumberMap& numbers, const StatePlan& plan, bool prediction);
/// `times` and `points` of a term.
StatePlan parse_plan(Config& term, const NumberMap& numbers, const NoiseSchedule* schedule);
/// PATH or PATH:PORT.
TapId parse_tap(const std::string& text);

}  // namespace retort
