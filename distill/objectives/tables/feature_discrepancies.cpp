// distill/objectives/tables/feature_discrepancies.cpp -- comparisons of features, per sample.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// d^2 / (2 beta) below beta, |d| - beta / 2 above.
Discrepancy smooth_l1(TableArgs& args) {
  const double beta = args.number("beta", 1, {.above = 0});
  return per_element("smooth |a - b|", [beta](const Tensor& a, const Tensor& b) {
    const Tensor d = abs(a - b), near = minimum(d, beta);
    return near * (d - near * .5) / beta;
  });
}

/// 1 - cos of vectors along the last axis; several vectors of a sample are summed.
Discrepancy cosine(TableArgs&) {
  Discrepancy d;
  d.formula = "1 - <a, b> / (|a| |b|)";
  d.value = [](const Comparison& c) {
    const Tensor products = unit_length(vectors(c.pred), 2) * unit_length(vectors(c.target), 2);
    return sum(1.0 - sum(products, {2}), {1});
  };
  return d;
}

/// sum b log(b / a) of probabilities a (prediction) and b (target), `eps` added inside the logarithm.
Discrepancy row_kl(TableArgs& args) {
  const double eps = args.number("eps", 1e-7, {.min = 0});
  return per_element("b log((b + eps) / (a + eps))",
                     [eps](const Tensor& a, const Tensor& b) { return b * (log(b + eps) - log(a + eps)); });
}

/// (a - b)^2 except where the target is negative and the prediction below it: there the rectifier hides both (OFD, Heo
/// et al. 2019; the target comes from margin_relu).
Discrepancy ofd(TableArgs&) {
  return per_element("(a - b)^2 [a > b or b > 0]", [](const Tensor& a, const Tensor& b) {
    const Tensor counts = logical_or(greater(a, b), greater(b, scalar_like(b, 0)));
    return square(a - b) * cast(counts, a.dtype());
  });
}

/// (a - y / scale)^2 of one number per sample and its label as a level.
Discrepancy scaled_label(TableArgs& args) {
  const double scale = args.number("scale", {.above = 0});
  Discrepancy d;
  d.labels = true;
  d.formula = "(a - y / scale)^2";
  d.value = [scale](const Comparison& c) {
    const Tensor a = rows(c.pred), y = reshape(cast(c.batch.y, a.dtype()), {-1, 1});
    const Tensor counts = cast(greater_equal(y, scalar_like(y, 0)), a.dtype());
    return sum(square(a - y / scale) * counts, {1});
  };
  return d;
}

Discrepancy of_batch(std::string formula, std::function<Tensor(const Tensor&, const Tensor&)> f) {
  Discrepancy d;
  d.scope = Scope::batch;
  d.formula = std::move(formula);
  d.value = [f = std::move(f)](const Comparison& c) { return f(rows(c.pred), rows(c.target)); };
  return d;
}

/// Frobenius' norm, not squared; its gradient at 0 is 0.
Tensor norm(const Tensor& a, const Tensor& b) { return sqrt(maximum(sum(square(a - b), {0, 1}), 1e-30)); }

Tensor whole_cosine(const Tensor& a, const Tensor& b) {
  const Tensor norms = sqrt(maximum(sum(square(a)), 1e-24)) * sqrt(maximum(sum(square(b)), 1e-24));
  return 1.0 - sum(a * b) / norms;
}
}  // namespace

const Table<Discrepancy>& feature_discrepancies() {
  static const Table<Discrepancy> entries{
      {"sq",
       [](TableArgs&) {
         return per_element("|a - b|^2", [](const Tensor& a, const Tensor& b) { return square(a - b); });
       }},
      {"l1",
       [](TableArgs&) {
         return per_element("|a - b|_1", [](const Tensor& a, const Tensor& b) { return abs(a - b); });
       }},
      {"smooth_l1", smooth_l1},
      {"cos", cosine},
      {"row_kl", row_kl},
      {"ofd", ofd},
      {"scaled_label", scaled_label},
      {"norm", [](TableArgs&) { return of_batch("|A - B|_F", norm); }},
      {"whole_cos", [](TableArgs&) { return of_batch("1 - <A, B>_F / (|A|_F |B|_F)", whole_cosine); }},
  };
  return entries;
}

}  // namespace retort
