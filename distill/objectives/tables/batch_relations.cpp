// distill/objectives/tables/batch_relations.cpp -- relations between the samples of a batch: what couples them.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/distance.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// f f', rows of unit length: [n, n] (SP, Tung and Mori 2019).
Tensor similarity(const Tensor& t) {
  const Tensor f = rows(t);
  return unit_length(matmul(f, f, false, true), 1);
}

/// Distances between samples over the mean of those above zero: [n, n] (RKD, Park et al. 2019).
Tensor distances(const Tensor& t) {
  const Tensor d = pairwise_distance(rows(t), rows(t));
  const Tensor pairs = sum(cast(greater(d, scalar_like(d, 0)), d.dtype()));
  return d / (sum(d) / maximum(pairs, 1.0));
}

/// Cosines of the angles at sample i between j and k: [n, n, n] (RKD).
Tensor angles(const Tensor& t) {
  const Tensor e = rows(t);
  const Tensor towards = unit_length(unsqueeze(e, 0) - unsqueeze(e, 1), 2);  // from i to j
  return matmul(towards, towards, false, true);
}

/// (1 + cos) / 2 of every pair, each row over its sum: a sample's chances to have the others as neighbours, [n, n]
/// (PKT, Passalis and Tefas 2018).
Tensor cosine_share(const Tensor& t) {
  const Tensor e = rows(t), unit = e / (sqrt(maximum(sum(square(e), {1}, true), 1e-24)) + 1e-7);
  const Tensor s = (matmul(unit, unit, false, true) + 1.0) / 2.0;
  return s / sum(s, {1}, true);
}

/// exp(-gamma |e_i - e_j|^2) of unit vectors as its series in their product up to `order`: [n, n] (CC, Peng et al.
/// 2019).
Relation rbf_series(TableArgs& args) {
  const std::int64_t order = args.integer("order", 2, {.min = 0, .max = 20});
  const double gamma = args.number("gamma", .4, {.above = 0});
  const auto kernel = [order, gamma](const Tensor& t) {
    const Tensor e = unit_length(rows(t), 1), s = matmul(e, e, false, true);
    Tensor power = Tensor::full(s.shape(), 1, s.dtype(), s.device()), series = power;
    double factor = 1;
    for (std::int64_t p = 1; p <= order; ++p) {
      power = power * s;
      factor *= 2 * gamma / static_cast<double>(p);
      series = series + power * factor;
    }
    return series * std::exp(-2 * gamma);
  };
  return each(kernel, Scope::batch);
}

Tensor centred(const Tensor& t) { return rows(t) - mean(rows(t), {0}, true); }

/// X X' of features centred over the batch: [n, n] (linear CKA, Kornblith et al. 2019).
Tensor centred_gram(const Tensor& t) {
  const Tensor x = centred(t);
  return matmul(x, x, false, true);
}

/// X' X / (n - 1) of centred features: [d, d] (CORAL, Sun and Saenko 2016).
Tensor covariance(const Tensor& t) {
  const Tensor x = centred(t);
  return matmul(x, x, true, false) / static_cast<double>(std::max<std::int64_t>(x.shape()[0] - 1, 1));
}

/// A list of queries, then as many of documents [n, d]: every query's product with every document, [n, n] each.
Tensors pair_scores(const Tensors& list) {
  const std::size_t half = list.size() / 2;
  if (list.size() % 2 != 0) throw ShapeError("pair_scores: expected queries, then documents; got {}", list.size());
  Tensors all;
  for (std::size_t i = 0; i < half; ++i) all.push_back(matmul(rows(list[i]), rows(list[half + i]), false, true));
  return all;
}

template <Tensor (*f)(const Tensor&)>
Relation of(TableArgs&) {
  return each(f, Scope::batch);
}
}  // namespace

const Table<Relation>& batch_relations() {
  static const Table<Relation> entries{
      {"similarity", of<similarity>}, {"distances", of<distances>},
      {"angles", of<angles>},         {"cosine_share", of<cosine_share>},
      {"rbf_series", rbf_series},     {"centred_gram", of<centred_gram>},
      {"covariance", of<covariance>}, {"pair_scores", [](TableArgs&) { return Relation{pair_scores, Scope::batch}; }},
  };
  return entries;
}

}  // namespace retort
