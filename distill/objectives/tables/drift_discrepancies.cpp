// distill/objectives/tables/drift_discrepancies.cpp -- a batch of generated features against a batch of reference ones,
// which need not be as many: drifting fields, coverage, means.
#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/distance.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Discrepancy of_batches(std::string formula, std::function<Tensor(const Tensor& made, const Tensor& reference)> f) {
  Discrepancy d;
  d.scope = Scope::batch;
  d.lists = true;
  d.formula = std::move(formula);
  d.value = [f = std::move(f)](const Comparison& c) {
    if (c.preds.size() != c.targets.size())
      throw ShapeError("a batch against a batch: {} features and {} references", c.preds.size(), c.targets.size());
    Tensor total;
    for (std::size_t i = 0; i < c.preds.size(); ++i) {
      const Tensor value = reshape(f(rows(c.preds[i]), rows(c.targets[i])), {1});
      total = total.defined() ? total + value : value;
    }
    return total;
  };
  return d;
}

/// Where features y [m, d] drift: drawn to the references p [n, d], pushed from each other, in coordinates whose unit
/// is the mean distance over sqrt(d). For each width R the field is sum_j C_ij t_j over t = (y, p): with affinities A =
/// sqrt(softmax over j times softmax over i of -distance / R), C_ij is A_ij times the sum of A over the other side's
/// points, negative for j of y, so that its rows sum to zero; fields are added, each over its root mean square
/// (Drifting Models, 2026).
struct Drift {
  Tensor unit, field;  ///< [1, 1], [m, d]
};

Drift drift_of(const Tensor& y, const Tensor& p, const std::vector<double>& widths) {
  const std::int64_t m = y.shape()[0];
  const Tensor targets = concat(Tensors{y, p}, 0), apart = maximum(pairwise_distance(y, targets), 1e-4);
  const Tensor scale = mean(apart, {}, true);  // over all pairs, a feature with itself included
  Drift drift;
  drift.unit = scale / std::sqrt(static_cast<double>(y.shape()[1]));
  const Tensor apart_from = Tensor::zeros({m, p.shape()[0]}, y.dtype(), y.device());
  const Tensor itself = concat(Tensors{eye(m, y.dtype(), y.device()), apart_from}, 1);
  const Tensor distance = apart / scale + itself * 1e6, t = targets / drift.unit;
  for (const double width : widths) {
    const Tensor closeness = distance * (-1 / width);
    const Tensor affinity = sqrt(maximum(softmax(closeness, 1) * softmax(closeness, 0), 1e-6));
    const Tensor repel = slice(affinity, 1, 0, m), attract = slice(affinity, 1, m);
    const Tensor c = concat(Tensors{-repel * sum(attract, {1}, true), attract * sum(repel, {1}, true)}, 1);
    const Tensor f = matmul(c, t), unit_f = f / maximum(sqrt(mean(square(f))), 1e-12);
    drift.field = drift.field.defined() ? drift.field + unit_f : unit_f;
  }
  return drift;
}

Discrepancy make_drift(TableArgs& args) {
  std::vector<double> widths;
  for (const Call& width : args.rest()) {
    if (!width.number() || *width.number() <= 0) width.fail("expected the positive width of a kernel");
    widths.push_back(*width.number());
  }
  if (widths.empty()) widths = {.02, .05, .2};
  return of_batches("mean |y / u - sg(y / u + V)|^2", [widths](const Tensor& y, const Tensor& p) {
    const Drift drift = drift_of(stop_gradient(y), stop_gradient(p), widths);
    const Tensor here = y / drift.unit;
    return mean(square(here - stop_gradient(here + drift.field)));
  });
}

/// mean_j relu(alpha S_j - C_j): how far the share C_j of features near anchor j, mean_i exp(-d(a_j, y_i) / h), stays
/// below that of the other anchors, S_j = mean_k exp(-d(a_j, a_k) / 2 h); h is the median distance of anchors and
/// features (TFD, 2605.07327).
Discrepancy make_coverage(TableArgs& args) {
  const double alpha = args.number("alpha", .5, {.min = 0});
  return of_batches("mean_j relu(alpha S_j - C_j)", [alpha](const Tensor& y, const Tensor& a) {
    const Tensor near = pairwise_distance(a, y);
    const Tensor all = sort(reshape(stop_gradient(near), {-1})).values;
    const Tensor h = slice(all, 0, (near.numel() - 1) / 2, (near.numel() - 1) / 2 + 1);
    const auto n = a.shape()[0];
    const Tensor among = exp(-pairwise_distance(a, a) / (2.0 * h));
    const Tensor others = (sum(among, {1}) - 1.0) / static_cast<double>(std::max<std::int64_t>(n - 1, 1));
    return mean(relu(alpha * others - mean(exp(-near / h), {1})));
  });
}

/// |mean y - mean p|^2, of features of a network drawn at random: maximum mean discrepancy (Embedding Loss,
/// 2604.22379).
Discrepancy make_mean_gap(TableArgs&) {
  return of_batches("|mean y - mean p|^2",
                    [](const Tensor& y, const Tensor& p) { return sum(square(mean(y, {0}) - mean(p, {0}))); });
}

/// -f_i rho_i, whose descent drives features apart: rho_i = 2 / h_i (f_i - sum_j K_ij f_j / sum_j K_ij) over j != i,
/// constant, K_ij = exp(-|f_i - f_j|^2 / h_i), h_i the median of the squares over log(n - 1), which stays log 2 for
/// n = 2 (RSD, 2406.16683).
Discrepancy make_repulsion(TableArgs&) {
  Discrepancy d;
  d.scope = Scope::batch;
  d.formula = "-<f_i, sg(grad log sum_j K_ij)>";
  d.value = [](const Comparison& c) {
    const Tensor f = rows(c.pred), others = stop_gradient(rows(c.target));
    const std::int64_t n = f.size(0);
    if (n == 1) return sum(f * 0., {1});
    const Tensor itself = eye(n, f.dtype(), f.device());
    const Tensor apart = pairwise_distance(others, others, Metric::squared_l2);
    const std::int64_t middle = 1 + (n - 2) / 2;  // a feature itself stands first
    const Tensor median = slice(sort(apart - itself, 1).values, 1, middle, middle + 1);
    const Tensor h = maximum(median / std::log(std::max(static_cast<double>(n - 1), 2.0)), 1e-12);
    const Tensor near = exp(-apart / h) * (1.0 - itself);
    const Tensor centre = matmul(near, others) / maximum(sum(near, {1}, true), 1e-30);
    return -sum(f * stop_gradient(2.0 / h * (others - centre)), {1});
  };
  return d;
}
}  // namespace

const Table<Discrepancy>& drift_discrepancies() {
  static const Table<Discrepancy> entries{
      {"drift", make_drift}, {"coverage", make_coverage}, {"mean_gap", make_mean_gap}, {"repulsion", make_repulsion}};
  return entries;
}

}  // namespace retort
