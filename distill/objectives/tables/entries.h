// distill/objectives/tables/entries.h -- how the function tables of terms are written: one function per entry.
#pragma once
#include "distill/objectives/discrepancy.h"

namespace retort {

/// Arguments of an entry; a number may also be named: `js(beta)` with `numbers: {beta: ...}`, read at each step.
class TableArgs : public CallArgs {
 public:
  TableArgs(const Call& call, const NumberMap& numbers) : CallArgs(call), numbers_(numbers) {}
  Weight scheduled(const std::string& parameter);
  Weight scheduled(const std::string& parameter, double fallback);
  /// A call that is a number or names one.
  Weight of(const Call& call) const { return Weight::of(call, numbers_); }

 private:
  const NumberMap& numbers_;
};

template <class Entry>
using Table = std::map<std::string, Entry (*)(TableArgs&), std::less<>>;

/// kl(forward|reverse), js(beta), jeffreys, dkd(alpha=1 beta=8), pearson(rows|columns).
const Table<Discrepancy>& logit_discrepancies();
/// ce(smoothing=0), joint_ce, worst_group_ce, chosen_ce.
const Table<Discrepancy>& label_discrepancies();
/// soft_ce, brier, ofa(eps=1).
const Table<Discrepancy>& soft_target_discrepancies();
/// plackett_luce, bce, list_ce, discriminate.
const Table<Discrepancy>& score_discrepancies();
/// linear_cka.
const Table<Discrepancy>& alignment_discrepancies();
/// sq, l1.
const Table<Discrepancy>& feature_discrepancies();
/// none, standardize (per row: subtract the mean, divide by the unbiased deviation + 1e-7), normalize (rows to unit
/// length), pool (global average).
const Table<Relation>& relations();
/// take(start step=1): some tensors of a list; total: their sum.
const Table<Relation>& logit_relations();
/// first (the only read), all, repeat, pick(k), mean_prob (of several teachers' softmax(z / T_target)), mean_logits,
/// aggregate_views, committee(power e...), past(alpha).
const Table<TargetMap>& target_maps();
/// student_share, more_reliable.
const Table<UnitWeight>& unit_weights();
/// rotate(STATE k) by k quarter turns, flip(STATE), jitter(STATE sigma), part(STATE count), join(STATE STATE),
/// decouple(STATE ahead steps=10), renoise(STATE TIME), compose(SPACE STATE TIME) of the clean state and the noise,
/// step(STATE s t role=teacher steps=1
/// cond=given) along a role's flow by DDIM.
const Table<State>& states();

/// [n, ...] -> [n, features], 16-bit data widened: what follows is a loss.
Tensor rows(const Tensor& t);
/// rows(logits) / T.
Tensor tempered(const Tensor& logits, double T);
/// A relation that maps every tensor of a list by itself.
Relation each(std::function<Tensor(const Tensor&)> f);
/// A discrepancy of the rows of two tensors, given per element and summed over each sample's.
Discrepancy per_element(std::string formula, std::function<Tensor(const Tensor& pred, const Tensor& target)> f);

}  // namespace retort
