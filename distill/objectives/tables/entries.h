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
/// ce(smoothing=0), joint_ce, worst_group_ce, chosen_ce, label_gap.
const Table<Discrepancy>& label_discrepancies();
/// soft_ce, brier, ofa(eps=1).
const Table<Discrepancy>& soft_target_discrepancies();
/// plackett_luce, bce, list_ce, discriminate.
const Table<Discrepancy>& score_discrepancies();
/// linear_cka, group_mmd(split sigma=1).
const Table<Discrepancy>& alignment_discrepancies();
/// sq, l1, smooth_l1(beta=1), cos (per vector of the last axis), row_kl(eps) of probabilities, norm and whole_cos (of
/// the whole batch), ofd, scaled_label(scale).
const Table<Discrepancy>& feature_discrepancies();
/// huber(c) per element; pseudo_huber(c), adaptive(p=1 c=.01) and barron(c=.001) of the whole vector;
/// divergence(delta) of two predictions and a probe; of points with confidences, point_map(groups=1 drop=.3) and
/// point_confidence.
const Table<Discrepancy>& regression_discrepancies();
/// Those that take whole lists: hcl(4 2 1), mmd, nll_gauss, nd, acam, mask_dice, layer_kl(softness=10).
const Table<Discrepancy>& list_discrepancies();
/// nce(tau=.07), diagonal_ce, mi_alpha(alpha).
const Table<Discrepancy>& contrastive_discrepancies();
/// Of a batch of features against a batch of references: drift(.02 .05 .2), coverage(alpha=.5), mean_gap,
/// repulsion, [n] (its target the same features).
const Table<Discrepancy>& drift_discrepancies();
/// Of samples: none, standardize (per row: subtract the mean, divide by the unbiased deviation + 1e-7), normalize (rows
/// to unit length), unit (every token), pool (global average), token(i), layer_norm, grid(n), attention_map(p=2),
/// channel_gram, flow, scores, splade.
const Table<Relation>& relations();
/// Of the whole batch: similarity, distances, angles, cosine_share, rbf_series(order=2 gamma=.4), centred_gram,
/// covariance, pair_scores.
const Table<Relation>& batch_relations();
/// take(start step=1): some tensors of a list; total: their sum; patches: tokens but the first.
const Table<Relation>& logit_relations();
/// first (the only read), all, by_label, repeat, pick(k), mean_prob (of several teachers' softmax(z / T_target)),
/// mean_logits, weighted_logits(w1 w2 ..), aggregate_views, committee(power e...), past(alpha).
const Table<TargetMap>& target_maps();
/// Of logits: calibrate(tau), interpolate(u), extrapolate(w), extrapolate_by_tvd(scale floor=.001), log_ratio(beta),
/// gated.
const Table<TargetMap>& logit_maps();
/// student_share, more_reliable.
const Table<UnitWeight>& unit_weights();
/// rotate(STATE k) by k quarter turns, flip(STATE), jitter(STATE sigma), part(STATE count), join(STATE STATE),
/// decouple(STATE ahead steps=10), renoise(STATE TIME noise=noise from=TIME), fresh_noise(draw), unit noise of its own,
/// fixed_noise(particles=1), the same at every step; compose(SPACE STATE TIME noise=noise) of the clean state and the
/// noise, predict(STATE TIME SPACE role=teacher cond=given guide=none live=false to=none), and step(STATE s t
/// role=teacher cond=given guide=none live=false steps=1 by=ddim) along a role's flow; jump(x STATE t s), a DDIM step
/// with a known clean prediction; noise_ratio(x STATE TIME), a number.
const Table<State>& states();
/// Of masked autoencoders: patches(STATE patch mask=.75 views=1 which=hidden|visible) and
/// hog(STATE patch cell=8 mask views which), rows [n, views * k, d] that nn/models/mae.h hides or shows at the step.
const Table<State>& patch_states();
/// turn(STATE STATE b), landing(STATE t s role=teacher cond=given guide=none live=false) of a role's jump, clock(TIME),
/// still(STATE), probe(STATE TIME NOISE delta), shifted(STATE a b limit), self_evaluation(x STATE null cond t s).
const Table<State>& trajectory_states();
/// What a state is made from: an earlier state or time. Throws ConfigError when there is none of that name.
const Tensor& named(const StateInput& in, const std::string& name);
/// role=teacher cond=given guide=none live=false: who is asked on the way to a state, and under which condition.
Read asked_of(TableArgs& args);

/// [n, ...] -> [n, features], 16-bit data widened: what follows is a loss.
Tensor rows(const Tensor& t);
/// rows(t), but the last axis of tensors of rank 3 and more stays: [n, ..., d] -> [n, vectors, d].
Tensor vectors(const Tensor& t);
/// x over its length along `axis`; zero stays zero, with gradient zero.
Tensor unit_length(const Tensor& x, int axis);
/// rows(logits) / T.
Tensor tempered(const Tensor& logits, double T);
/// A relation that maps every tensor of a list by itself.
Relation each(std::function<Tensor(const Tensor&)> f, Scope scope = Scope::sample);
/// A discrepancy of the rows of two tensors, given per element and summed over each sample's.
Discrepancy per_element(std::string formula, std::function<Tensor(const Tensor& pred, const Tensor& target)> f);

}  // namespace retort
