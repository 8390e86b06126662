// distill/objectives/tables/regression_discrepancies.cpp -- distances of vectors that few-step methods regress with.
#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "distill/diffusion/schedule.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Tensor squares(const Comparison& c) { return sum(square(rows(c.pred) - rows(c.target)), {1}); }
Tensor mean_squares(const Comparison& c) { return mean(square(rows(c.pred) - rows(c.target)), {1}); }

/// Song et al. 2023 (LCM's Huber): smooth per element.
Discrepancy make_huber(TableArgs& args) {
  const double c = args.number("c", {.above = 0});
  return per_element("sum sqrt((p - t)^2 + c^2) - c",
                     [c](const Tensor& p, const Tensor& t) { return sqrt(square(p - t) + c * c) - c; });
}

/// Song and Dhariwal 2024: of the whole vector; their c is .00054 times the root of its size.
Discrepancy make_pseudo_huber(TableArgs& args) {
  const Weight scale = args.scheduled("c");
  return {.value =
              [scale](const Comparison& in) {
                const double c = scale.at(in.clock);
                return sqrt(squares(in) + c * c) - c;
              },
          .formula = "sqrt(|p - t|^2 + c^2) - c"};
}

/// Geng et al. 2025 (MeanFlow): e = |p - t|^2 over its own power, detached.
Discrepancy make_adaptive(TableArgs& args) {
  const double p = args.number("p", 1, {.min = 0}), c = args.number("c", .01, {.above = 0});
  return {.value =
              [p, c](const Comparison& in) {
                const Tensor e = squares(in);
                return e * stop_gradient(pow(e + c, -p));
              },
          .formula = "e / sg(e + c)^p, e = |p - t|^2"};
}

/// Barron 2019 at alpha = 1 with its slope detached (TwinFlow): e the mean of squares.
Discrepancy make_barron(TableArgs& args) {
  const double c = args.number("c", .001, {.above = 0});
  return {.value =
              [c](const Comparison& in) {
                const Tensor e = mean_squares(in);
                return e * stop_gradient(rsqrt(e / (c * c) + 1.0)) / c;
              },
          .formula = "e sg(e / c^2 + 1)^(-1/2) / c, e = mean (p - t)^2"};
}
/// Predictions at y + delta n and at y, target n: n . (h(y + delta n) - h(y)) / delta over the number of elements, an
/// estimate of the mean divergence of h with one probe (Ramani et al. 2008).
Discrepancy make_divergence(TableArgs& args) {
  const double delta = args.number("delta", {.above = 0});
  Discrepancy d;
  d.lists = true;
  d.value = [delta](const Comparison& c) {
    if (c.preds.size() != 2 || c.targets.empty()) throw ShapeError("divergence: two predictions and a probe");
    return mean(rows(c.targets[0]) * (rows(c.preds[0]) - rows(c.preds[1])), {1}) / delta;
  };
  d.formula = "mean n (h(y + delta n) - h(y)) / delta";
  return d;
}

/// Maps of points and their confidences, [n, ...] -> [n, groups, points, 4].
Tensor point_rows(const Tensor& t, std::int64_t groups) {
  const Tensor flat = rows(t);
  if (flat.size(1) % (4 * groups) != 0)
    throw ShapeError("point_map: rows of x, y, z, confidence in {} groups; got {}", groups, t.str());
  return reshape(flat, {flat.size(0), groups, -1, 4});
}
/// Points over the mean length of those that are kept in their group.
Tensor in_own_unit(const Tensor& points, const Tensor& kept) {
  const Tensor length = sqrt(maximum(sum(square(points), {3}, true), 1e-24));
  const Tensor unit = sum(length * kept, {2}, true) / maximum(sum(kept, {2}, true), 1.0);
  return points / maximum(unit, 1e-8);
}

/// The mean over kept points of clamp(c / 10, .1, 1) |p - t|^2, both in units of their own, the mean length over a
/// group (a view, or all of them); dropped is that share of the sample's points, those of the least confidence c in the
/// target (Distill3R, 2602.00865).
Discrepancy make_point_map(TableArgs& args) {
  const std::int64_t groups = args.integer("groups", 1, {.min = 1});
  const double drop = args.number("drop", .3, {.min = 0, .max = 1});
  Discrepancy d;
  d.formula = "mean clamp(c / 10, .1, 1) |p / mean |p| - t / mean |t||^2";
  d.value = [groups, drop](const Comparison& c) {
    const Tensor p = point_rows(c.pred, groups), t = point_rows(c.target, groups);
    const Tensor confidence = slice(t, 3, 3, 4), ranked = sort(rows(confidence), 1).values;
    const std::int64_t count = ranked.size(1);
    const std::int64_t at = std::min(static_cast<std::int64_t>(drop * static_cast<double>(count)), count - 1);
    const Tensor least = per_sample(reshape(slice(ranked, 1, at, at + 1), {-1}), t);
    const Tensor kept = cast(less_equal(least, confidence), t.dtype());
    const Tensor apart = in_own_unit(slice(p, 3, 0, 3), kept) - in_own_unit(slice(t, 3, 0, 3), kept);
    const Tensor weight = kept * clamp(confidence / 10., .1, 1.);
    return sum(rows(weight * square(apart)), {1}) / maximum(sum(rows(kept), {1}), 1.0);
  };
  return d;
}

Discrepancy make_point_confidence(TableArgs&) {
  Discrepancy d;
  d.formula = "mean |c - c_t| of the confidences";
  d.value = [](const Comparison& c) {
    const Tensor apart = slice(point_rows(c.pred, 1) - point_rows(c.target, 1), 3, 3, 4);
    return mean(abs(rows(apart)), {1});
  };
  return d;
}
}  // namespace

const Table<Discrepancy>& regression_discrepancies() {
  static const Table<Discrepancy> entries{{"huber", make_huber},
                                          {"pseudo_huber", make_pseudo_huber},
                                          {"adaptive", make_adaptive},
                                          {"barron", make_barron},
                                          {"divergence", make_divergence},
                                          {"point_map", make_point_map},
                                          {"point_confidence", make_point_confidence}};
  return entries;
}

}  // namespace retort
