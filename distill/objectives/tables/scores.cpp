// distill/objectives/tables/scores.cpp -- comparisons of scores: orders of classes, independent yes-or-no answers.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// Minus the log-likelihood of an order under Plackett and Luce, each rank weighted by the teacher's probability of the
/// class there: the label first, the others as the teacher sorts them (PLD, Bassam et al. 2025). The teacher's
/// temperature belongs to the weights.
Discrepancy make_plackett_luce(TableArgs&) {
  Discrepancy d;
  d.logits = true;
  d.formula = "sum_k p_t,pi(k) [logsumexp_{l >= k} s_pi(l) - s_pi(k)], pi = (y, the rest by falling t)";
  d.value = [](const Comparison& c) {
    const Tensor s = tempered(c.pred, c.T_pred), t = tempered(c.target, c.T_target);
    const Tensor label = one_hot(c.batch.y, t.shape()[1], DType::boolean);
    const Tensor order = argsort(masked_fill(t, label, INFINITY), 1, true);
    const Tensor ranked = gather(s, 1, order), weight = gather(softmax(t, 1), 1, order);
    return sum(weight * (logcumsumexp(ranked, 1, true) - ranked), {1});
  };
  return d;
}

/// sum_c -[q log sigma(z) + (1 - q) log(1 - sigma(z))] with q = sigma(target).
Tensor binary_ce(const Tensor& z, const Tensor& target) { return sum(softplus(z) - sigmoid(target) * z, {1}); }

Discrepancy make_bce(TableArgs&) {
  Discrepancy d;
  d.formula = "sum_c BCE(sigma(z_s,c), sigma(z_t,c))";
  d.value = [](const Comparison& c) { return binary_ce(rows(c.pred), rows(c.target)); };
  d.floor = [](const Comparison& c) { return binary_ce(rows(c.target), rows(c.target)); };
  return d;
}

/// The list loss whose optimum is also that of regression: scores are normalised by the sum of sigmoids, not of
/// exponentials (RCR, Bai et al. 2022). A list whose relevances are all 0 costs nothing.
Tensor list_loss(const Tensor& z, const Tensor& target) {
  const Tensor log_score = neg(softplus(neg(z))), relevance = sigmoid(target);
  const Tensor all = sum(relevance, {1}), one = scalar_like(all, 1);
  const Tensor weighted = sum(relevance * (logsumexp(log_score, {1}, true) - log_score), {1});
  const Tensor empty = equal(all, scalar_like(all, 0));
  return where(empty, scalar_like(all, 0), weighted / where(empty, one, all));
}

Discrepancy make_list_ce(TableArgs&) {
  Discrepancy d;
  d.formula = "-1/sum_j q_j sum_i q_i log(sigma(z_i) / sum_j sigma(z_j)), q = sigma(z_t)";
  d.value = [](const Comparison& c) { return list_loss(rows(c.pred), rows(c.target)); };
  d.floor = [](const Comparison& c) { return list_loss(rows(c.target), rows(c.target)); };
  return d;
}

/// A discriminator's two answers for the student (should be 1, 0) and for the teacher (should be 0, 1), averaged over
/// all four (MEAL, Shen et al. 2019).
Discrepancy make_discriminate(TableArgs&) {
  Discrepancy d;
  d.formula = "mean of BCE(D(s), [1 0]) and BCE(D(t), [0 1]) over their entries";
  d.value = [](const Comparison& c) {
    const auto answer = [](const Tensor& z, std::int64_t yes) { return sum(softplus(z), {1}) - select(z, 1, yes); };
    return (answer(rows(c.pred), 0) + answer(rows(c.target), 1)) / 4.0;
  };
  return d;
}
}  // namespace

const Table<Discrepancy>& score_discrepancies() {
  static const Table<Discrepancy> entries{
      {"plackett_luce", make_plackett_luce},
      {"bce", make_bce},
      {"list_ce", make_list_ce},
      {"discriminate", make_discriminate},
  };
  return entries;
}

}  // namespace retort
