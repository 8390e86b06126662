// distill/objectives/tables/soft_targets.cpp -- comparisons with a distribution over classes: cross-entropies and
// squared distances of probabilities.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// The gradient of KL(p_t || p_s), from which it differs by the teacher's entropy; shown without that.
Discrepancy make_soft_ce(TableArgs&) {
  Discrepancy d;
  d.logits = true;
  d.formula = "-sum_c p_t,c log p_s,c";
  const auto against = [](const Tensor& logits, const Comparison& c) {
    return soft_cross_entropy(logits, softmax(tempered(c.target, c.T_target), 1));
  };
  d.value = [against](const Comparison& c) { return against(tempered(c.pred, c.T_pred), c); };
  d.floor = [against](const Comparison& c) { return against(tempered(c.target, c.T_target), c); };
  return d;
}

/// Squared distance of two probability vectors, the consistency cost of mean teachers (Brier 1950).
Discrepancy make_brier(TableArgs&) {
  Discrepancy d;
  d.logits = true;
  d.formula = "|p_s - p_t|^2";
  d.value = [](const Comparison& c) {
    const Tensor s = softmax(tempered(c.pred, c.T_pred), 1), t = softmax(tempered(c.target, c.T_target), 1);
    return sum(square(s - t), {1});
  };
  return d;
}

/// One-for-all KD (Hao et al. 2023): the label adds 1 to the teacher's probability, the power takes it off the rest. Of
/// two mixed labels the heavier one counts.
Discrepancy make_ofa(TableArgs& args) {
  const double eps = args.number("eps", 1.0, {.above = 0});
  Discrepancy d;
  d.logits = true;
  d.formula = "-sum_c [(p_t,c + [c = y])^eps - [c = y]] log p_s,c";
  d.value = [eps](const Comparison& c) {
    const Tensor s = tempered(c.pred, c.T_pred), p = softmax(tempered(c.target, c.T_target), 1);
    Tensor label = c.batch.y;
    if (c.batch.y2.defined()) label = where(less(c.batch.lambda, scalar_like(c.batch.lambda, .5)), c.batch.y2, label);
    const Tensor at_label = one_hot(label, s.shape()[1], s.dtype());
    return soft_cross_entropy(s, pow(p + at_label, eps) - at_label);
  };
  return d;
}
}  // namespace

const Table<Discrepancy>& soft_target_discrepancies() {
  static const Table<Discrepancy> entries{{"soft_ce", make_soft_ce}, {"brier", make_brier}, {"ofa", make_ofa}};
  return entries;
}

}  // namespace retort
