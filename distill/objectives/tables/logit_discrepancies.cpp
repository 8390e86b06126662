// distill/objectives/tables/logit_discrepancies.cpp -- divergences and correlations of class logits and a teacher's.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Discrepancy divergence(std::string formula, std::function<Tensor(const Comparison&)> value) {
  Discrepancy d;
  d.logits = true;
  d.formula = std::move(formula);
  d.value = std::move(value);
  return d;
}

using Divergence = Tensor (*)(const Tensor& student, const Tensor& teacher, Temperatures);

Discrepancy divergence(std::string formula, Divergence f) {
  return divergence(std::move(formula), [f](const Comparison& c) {
    return f(rows(c.pred), rows(c.target), {c.T_pred, c.T_target});
  });
}

Discrepancy make_kl(TableArgs& args) {
  const Call direction = args.call("direction");
  if (direction.name == "forward") return divergence("KL(p_teacher || p_student)", kl_forward);
  if (direction.name == "reverse") return divergence("KL(p_student || p_teacher)", kl_reverse);
  direction.fail("the direction is forward, KL(teacher || student), or reverse, KL(student || teacher)");
}

Discrepancy make_js(TableArgs& args) {
  const Weight beta = args.scheduled("beta", .5);
  return divergence("beta KL(p_t || M) + (1 - beta) KL(p_s || M), M = beta p_t + (1 - beta) p_s",
                    [beta](const Comparison& c) {
                      return js(rows(c.pred), rows(c.target), beta.at(c.clock), {c.T_pred, c.T_target});
                    });
}

/// KL(teacher || student) split into the label's share against the rest (TCKD) and the rest among itself (NCKD):
/// Zhao et al. 2022. KL = TCKD + (1 - p_t,y) NCKD; the method weighs both parts freely.
Discrepancy make_dkd(TableArgs& args) {
  const double alpha = args.number("alpha", 1.0), beta = args.number("beta", 8.0);
  Discrepancy d;
  d.logits = true;
  d.formula = "alpha KL(b_t || b_s) + beta KL(q_t || q_s), b = (p_y, 1 - p_y), q = softmax over c != y";
  d.value = [alpha, beta](const Comparison& c) {
    const Tensor s = tempered(c.pred, c.T_pred), t = tempered(c.target, c.T_target);
    const Tensor label = reshape(c.batch.y, {-1, 1});
    const Tensor others = logical_not(one_hot(c.batch.y, s.shape()[1], DType::boolean));
    const Tensor none = Tensor::full({}, -INFINITY, s.dtype(), s.device());
    const auto split = [&](const Tensor& z) {
      const Tensor rest = where(others, z, none);
      return std::pair{concat(Tensors{gather(z, 1, label), logsumexp(rest, {1}, true)}, 1), rest};
    };
    const auto [s2, s_rest] = split(s);
    const auto [t2, t_rest] = split(t);
    return kl_forward(s2, t2) * alpha + kl_forward(s_rest, t_rest) * beta;
  };
  return d;
}

/// 1 - Pearson correlation of rows (per sample) or of columns (per class over the batch, averaged): DIST, Huang et al.
/// 2022, both on probabilities at their temperatures.
Discrepancy make_pearson(TableArgs& args) {
  const Call axis = args.call("axis");
  const bool by_rows = axis.name == "rows";
  if (!by_rows && axis.name != "columns") axis.fail("the axis is rows (per sample) or columns (per class)");
  Discrepancy d;
  d.logits = true;
  d.scope = by_rows ? Scope::sample : Scope::batch;
  d.formula = by_rows ? "1 - corr(p_s, p_t)" : "mean over classes of 1 - corr over the batch";
  d.value = [by_rows](const Comparison& c) {
    constexpr double kEps = 1e-8;
    const int over = by_rows ? 1 : 0;
    const Tensor s = softmax(tempered(c.pred, c.T_pred), 1), t = softmax(tempered(c.target, c.T_target), 1);
    const Tensor a = s - mean(s, {over}, true), b = t - mean(t, {over}, true);
    const Tensor norms = sqrt(sum(square(a), {over}) * sum(square(b), {over}));
    const Tensor loss = 1.0 - sum(a * b, {over}) / (norms + kEps);
    return by_rows ? loss : mean(loss, {0}, true);
  };
  return d;
}

}  // namespace

const Table<Discrepancy>& logit_discrepancies() {
  static const Table<Discrepancy> entries{
      {"kl", make_kl},
      {"js", make_js},
      {"jeffreys", [](TableArgs&) { return divergence("KL(p_t || p_s) + KL(p_s || p_t)", jeffreys); }},
      {"dkd", make_dkd},
      {"pearson", make_pearson},
  };
  return entries;
}

}  // namespace retort
