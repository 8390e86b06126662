// distill/objectives/tables/target_maps.cpp -- how the target is made of what was read. Where the result is a
// distribution p over classes, it is given as T log p, so that the discrepancy's own softmax(. / T) is p again.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Tensors as_logits(const Tensor& p, const MapInput& in) { return {log(p) * in.T_target}; }

/// sum_k weights_k f(first tensor of read k).
Tensor combination(const MapInput& in, const std::vector<double>& weights,
                   const std::function<Tensor(const Tensor&)>& f) {
  Tensor total;
  for (std::size_t k = 0; k < in.targets.size(); ++k) {
    const Tensor part = f(in.targets[k][0]) * weights.at(k);
    total = total.defined() ? total + part : part;
  }
  return total;
}

Tensor mean_of(const MapInput& in, const std::function<Tensor(const Tensor&)>& f) {
  const std::size_t n = in.targets.size();
  return combination(in, std::vector<double>(n, 1.0 / static_cast<double>(n)), f);
}

Tensors mean_prob(const MapInput& in) {
  return as_logits(mean_of(in, [&](const Tensor& z) { return softmax(tempered(z, in.T_target), 1); }), in);
}

Tensors mean_logits(const MapInput& in) { return {mean_of(in, rows)}; }

/// Logits of M views over joint labels (class, view) -> over classes: view j is asked about (class, j) alone, and the
/// answers are averaged (SLA, Lee et al. 2020).
Tensors aggregate_views(const MapInput& in) {
  const auto views = static_cast<std::int64_t>(in.targets.size());
  std::int64_t j = 0;
  return {mean_of(in, [&](const Tensor& z) {
    const Tensor by_class = reshape(rows(z), {z.shape()[0], -1, views});
    return select(by_class, 2, j++);
  })};
}

Tensors first(const MapInput& in) { return in.targets[0]; }

/// Everything that was read, one after the other.
Tensors all_read(const MapInput& in) {
  Tensors list;
  for (const Tensors& read : in.targets) list.insert(list.end(), read.begin(), read.end());
  return list;
}

/// From teacher k for samples of label k: as many tensors as each read has.
Tensors by_label(const MapInput& in) {
  const Tensor& y = in.batch.y;
  const std::size_t teachers = in.targets.size();
  if (!y.meta())
    for (const std::int64_t label : y.values<std::int64_t>())
      if (label < 0 || label >= static_cast<std::int64_t>(teachers))
        throw ConfigError("by_label: label {} has none of the {} teachers", label, teachers);
  Tensors chosen = in.targets[0];
  for (std::size_t k = 1; k < teachers; ++k)
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      Shape rows = Shape::filled(chosen[i].rank(), 1);
      rows[0] = chosen[i].shape()[0];
      const Tensor here = reshape(equal(y, scalar_like(y, static_cast<double>(k))), rows);
      chosen[i] = where(here, in.targets[k].at(i), chosen[i]);
    }
  return chosen;
}

/// The first target for every prediction: one teacher of many exits.
Tensors repeat(const MapInput& in) { return Tensors(in.preds.size(), in.targets[0][0]); }

/// The k-th tensor of the list that was read, k = 1, 2, ...: a layer that a schedule or controller chooses.
TargetMap make_pick(TableArgs& args) {
  const Weight k = args.scheduled("k");
  return [k](const MapInput& in) -> Tensors {
    const Tensors& list = in.targets[0];
    const auto at = static_cast<std::size_t>(k.at(in.clock));
    if (at < 1 || at > list.size()) throw ConfigError("pick: there is no tensor {} in a list of {}", at, list.size());
    return {list[at - 1]};
  };
}

/// Teachers weighted by max(e, 0)^power over the sum of that, e the task similarities in the order of the reads:
/// power 0 is a uniform committee, a large one the nearest teacher alone (Borup, Phoo, Hariharan 2023).
TargetMap make_committee(TableArgs& args) {
  const Weight power = args.scheduled("power");
  std::vector<Weight> similarities;
  for (const Call& e : args.rest()) similarities.push_back(args.of(e));
  return [power, similarities](const MapInput& in) {
    if (similarities.size() != in.targets.size())
      throw ConfigError("committee: {} similarities for {} teachers", similarities.size(), in.targets.size());
    std::vector<double> weights;
    double total = 0;
    for (const Weight& e : similarities) {
      const double value = e.at(in.clock);
      weights.push_back(value > 0 ? std::pow(value, power.at(in.clock)) : 0);
      total += weights.back();
    }
    if (total == 0) throw ConfigError("committee: no teacher has a positive similarity");
    for (double& w : weights) w /= total;
    const auto prob = [&](const Tensor& z) { return softmax(tempered(z, in.T_target), 1); };
    return as_logits(combination(in, weights, prob), in);
  };
}

/// sum_i w_i z_i over the teachers' logits (CV-DD, Cui et al. 2025).
TargetMap make_weighted_logits(TableArgs& args) {
  std::vector<Weight> weights;
  for (const Call& w : args.rest()) weights.push_back(args.of(w));
  return [weights](const MapInput& in) {
    if (weights.size() != in.targets.size())
      throw ConfigError("weighted_logits: {} weights for {} teachers", weights.size(), in.targets.size());
    Tensor total;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const Tensor part = in.targets[i][0] * weights[i].at(in.clock);
      total = total.defined() ? total + part : part;
    }
    return Tensors{total};
  };
}

/// (1 - alpha) onehot(y) + alpha softmax(what a store kept), and the label alone in the first epoch, when the store
/// holds nothing yet (PS-KD, Kim et al. 2021).
TargetMap make_past(TableArgs& args) {
  const Weight alpha = args.scheduled("alpha");
  return [alpha](const MapInput& in) {
    const Tensor past = softmax(tempered(in.targets[0][0], in.T_target), 1);
    const auto label = [&](const Tensor& y) { return one_hot(y, past.shape()[1], past.dtype()); };
    Tensor hard = label(in.batch.y);
    if (in.batch.y2.defined()) {
      const Tensor lambda = reshape(cast(in.batch.lambda, past.dtype()), {-1, 1});
      hard = lambda * hard + (1.0 - lambda) * label(in.batch.y2);
    }
    const double a = in.clock.epoch < 1 ? 0 : alpha.at(in.clock);
    return as_logits((1 - a) * hard + a * past, in);
  };
}
}  // namespace

const Table<TargetMap>& target_maps() {
  static const Table<TargetMap> entries{
      {"first", [](TableArgs&) -> TargetMap { return first; }},
      {"all", [](TableArgs&) -> TargetMap { return all_read; }},
      {"by_label", [](TableArgs&) -> TargetMap { return by_label; }},
      {"repeat", [](TableArgs&) -> TargetMap { return repeat; }},
      {"pick", make_pick},
      {"mean_prob", [](TableArgs&) -> TargetMap { return mean_prob; }},
      {"mean_logits", [](TableArgs&) -> TargetMap { return mean_logits; }},
      {"weighted_logits", make_weighted_logits},
      {"aggregate_views", [](TableArgs&) -> TargetMap { return aggregate_views; }},
      {"committee", make_committee},
      {"past", make_past},
  };
  return entries;
}

}  // namespace retort
