// distill/objectives/discrepancy.h -- table `d`: how a prediction is compared with a target, per unit.
#pragma once
#include "distill/objectives/term.h"
#include "distill/train/call.h"

namespace retort {

/// One comparison of a Match term. Logit discrepancies divide by the temperatures themselves; the T^2 factor is the
/// term's.
struct Comparison {
  Tensor pred, target;     ///< [n, ...] of one shape; target undefined when labels are compared with
  Tensors preds, targets;  ///< the whole lists, for entries that take them at once
  Batch batch;
  double T_pred = 1, T_target = 1;
  Clock clock;  ///< where scheduled arguments are read
};

struct Discrepancy {
  Scope scope = Scope::sample;
  bool labels = false;  ///< compares with labels instead of a target
  bool logits = false;  ///< takes temperatures
  bool lists = false;   ///< called once with preds and targets, whose numbers and shapes are its own business;
                        ///< otherwise called for each pair in turn, which must agree in shape, and summed
  /// Value per sample [n] (scope sample) or for the batch [1] (scope batch), in f32 or f64.
  std::function<Tensor(const Comparison&)> value;
  /// What is subtracted from `value` for the shown number (an entropy); empty when value is zero at its optimum.
  std::function<Tensor(const Comparison&)> floor = {};
  std::string formula;
};

/// The entry that a call names: see tables/entries.h. Arguments may be named numbers of the preset. Throws ConfigError
/// naming the nearest entry.
Discrepancy make_discrepancy(const Call& call, const NumberMap& numbers);

/// Table `relate`: maps a signal (or a list) before it is compared. The first axis stays that of the batch.
struct Relation {
  std::function<Tensors(const Tensors&)> map;
  Scope scope = Scope::sample;  ///< batch: a row of the result depends on the other samples
  Tensors operator()(const Tensors& list) const { return map(list); }
};
/// One call, or a list of calls applied in order.
Relation parse_relation(Config& node, const NumberMap& numbers);

/// Table `map`: makes the target of what was read (several teachers, labels, the prediction itself, all constant).
struct MapInput {
  const std::vector<Tensors>& targets;  ///< by read
  const Tensors& preds;                 ///< after relate, constant
  const Batch& batch;
  double T_target;
  Clock clock;
};
using TargetMap = std::function<Tensors(const MapInput&)>;
TargetMap make_target_map(const Call& call, const NumberMap& numbers);

/// Table `weight`: a detached weight [n] of each sample.
using UnitWeight = std::function<Tensor(const Comparison&)>;
UnitWeight make_unit_weight(const Call& call, const NumberMap& numbers);

/// Table `point`: one state of a term, made from earlier ones: `turned: rotate(x 1)`.
State make_state(const std::string& name, const Call& call, const NumberMap& numbers);

}  // namespace retort
