// distill/objectives/tables/contrastive_discrepancies.cpp -- the right partner among wrong ones: noise-contrastive
// losses and bounds of mutual information.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// E exp(k u_1) for u even over the unit sphere of R^d: the series of 0F1(d/2; k^2/4), in logarithms.
double log_mean_exp_on_sphere(double k, std::int64_t d) {
  const double z = k * k / 4, half = static_cast<double>(d) / 2;
  double term = 0, largest = 0, sum = 1;  // the sum is times exp(-largest)
  for (int j = 1; j < 10000; ++j) {
    term += std::log(z) - std::log(j) - std::log(half + j - 1);
    if (term > largest) {
      sum = sum * std::exp(largest - term) + 1;
      largest = term;
    } else {
      sum += std::exp(term - largest);
    }
    if (term < largest - 40) break;
  }
  return largest + std::log(sum);
}

/// -log h(v, positive) - sum_k log(1 - h(v, negative_k)) with h = P / (P + K / n), P = exp(<v, b> / tau) / Z (CRD, Tian
/// et al. 2020). Targets are a store's row [n, d] and its negatives [n, K, d]. Z is n times the mean of exp(<v, b> /
/// tau) over rows b even on the sphere, which is what the first batch of a bank that starts there gives; so
/// h = sigmoid(<v, b> / tau - log(K mean)), and n cancels.
Discrepancy nce(TableArgs& args) {
  const double tau = args.number("tau", .07, {.above = 0});
  Discrepancy d;
  d.lists = true;
  d.formula = "-log h(v, b+) - sum_k log(1 - h(v, b_k))";
  d.value = [tau](const Comparison& c) {
    if (c.preds.size() != 1 || c.targets.size() != 2)
      throw ShapeError("nce: expected one embedding, and a store's row with negatives");
    const Tensor v = rows(c.preds[0]), own = rows(c.targets[0]), others = vectors(c.targets[1]);
    const double threshold = std::log(static_cast<double>(others.size(1))) + log_mean_exp_on_sphere(1 / tau, v.size(1));
    const Tensor positive = sum(v * own, {1}) / tau - threshold;
    const Tensor negative = squeeze(matmul(others, unsqueeze(v, 2)), 2) / tau - threshold;
    return softplus(neg(positive)) + sum(softplus(negative), {1});
  };
  return d;
}

/// -log softmax(row i)_i of scores [n, n]: the right document of query i is document i.
Discrepancy diagonal_ce(TableArgs&) {
  Discrepancy d;
  d.labels = true;
  d.scope = Scope::batch;
  d.formula = "-log softmax(scores_i)_i";
  d.value = [](const Comparison& c) {
    const Tensor z = rows(c.pred);
    return cross_entropy(z, arange(z.shape()[0], DType::i64, z.device()));
  };
  return d;
}

/// log(a e^x + (1 - a) e^y).
Tensor log_mix(double a, const Tensor& x, double y) {
  if (a == 1) return x;
  const Tensor baseline = Tensor::full(x.shape(), y, x.dtype(), x.device());
  if (a == 0) return baseline;
  return logsumexp(stack(Tensors{x + std::log(a), baseline + std::log(1 - a)}, 0), {0});
}

/// Minus the bound I_alpha of mutual information (Poole et al. 2019) with the critic f_ij = <x_i, y_j>: x the targets,
/// y the predictions. 1 + mean_j [f_jj - log(a m_j + (1 - a) e)] - mean_j mean_{i != j} e^{f_ij} / (a m'_j + (1 - a)
/// e), m_j the mean over i of e^{f_ij}, m'_j that over i != j. alpha 1 is InfoNCE, 0 is NWJ.
Discrepancy mi_alpha(TableArgs& args) {
  const Weight weight = args.scheduled("alpha");
  Discrepancy d;
  d.scope = Scope::batch;
  d.formula = "-I_alpha";
  d.value = [weight](const Comparison& c) {
    const double alpha = weight.at(c.clock);
    const Tensor f = matmul(rows(c.target), rows(c.pred), false, true);
    const std::int64_t k = f.shape()[0];
    const Tensor own = eye(k, DType::boolean, f.device());
    const Tensor apart = where(own, Tensor::full({}, -INFINITY, f.dtype(), f.device()), f);
    const Tensor all = logsumexp(f, {0}) - std::log(static_cast<double>(k));
    const Tensor rest = logsumexp(apart, {0}) - std::log(static_cast<double>(k - 1));
    const Tensor joint = sum(f * cast(own, f.dtype()), {0}) - log_mix(alpha, all, 1);
    return mean(exp(rest - log_mix(alpha, rest, 1)) - joint, {0}, true) - 1.0;
  };
  return d;
}
}  // namespace

const Table<Discrepancy>& contrastive_discrepancies() {
  static const Table<Discrepancy> entries{
      {"nce", nce},
      {"diagonal_ce", diagonal_ce},
      {"mi_alpha", mi_alpha},
  };
  return entries;
}

}  // namespace retort
