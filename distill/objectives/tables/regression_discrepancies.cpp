// distill/objectives/tables/regression_discrepancies.cpp -- distances of vectors that few-step methods regress with.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
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
}  // namespace

const Table<Discrepancy>& regression_discrepancies() {
  static const Table<Discrepancy> entries{{"huber", make_huber},
                                          {"pseudo_huber", make_pseudo_huber},
                                          {"adaptive", make_adaptive},
                                          {"barron", make_barron},
                                          {"divergence", make_divergence}};
  return entries;
}

}  // namespace retort
