// distill/objectives/discrepancy.h -- table `d`: how a prediction is compared with a target, per unit.
#pragma once
#include <functional>

#include "distill/objectives/term.h"
#include "distill/train/call.h"

namespace retort {

/// One comparison. Logit discrepancies divide by the temperatures themselves; the T^2 factor is the term's.
struct Comparison {
  Tensor pred, target;   ///< [n, ...] same shape; target undefined when labels are compared with
  Tensor y, y2, lambda;  ///< see Batch
  double T_pred = 1, T_target = 1;
};

struct Discrepancy {
  Scope scope = Scope::sample;
  bool labels = false;  ///< compares with labels instead of a target
  bool logits = false;  ///< takes temperatures
  /// Value per sample [n] (scope sample) or for the batch [1] (scope batch), in f32 or f64.
  std::function<Tensor(const Comparison&)> value;
  /// What is subtracted from `value` for the shown number (an entropy); empty when value is zero at its optimum.
  std::function<Tensor(const Comparison&)> floor;
  std::string formula;
};

/// The entry that a call names: ce, ce(smoothing=.1), kl(forward), kl(reverse), js(beta), jeffreys, sq, l1,
/// dkd(alpha=1 beta=8), pearson(rows), pearson(columns). Throws ConfigError naming the nearest entry.
Discrepancy make_discrepancy(const Call& call);

/// Table `relate`: a tensor-to-tensor map applied to prediction and target alike before they are compared:
/// none, standardize (per row: subtract the mean, divide by the unbiased deviation + 1e-7), normalize (rows to unit
/// length), pool (global average).
std::function<Tensor(const Tensor&)> make_relation(const Call& call);

}  // namespace retort
