// tests/distill/objectives_features_test.cpp -- relations and discrepancies of feature methods against closed forms and
// identities of their papers, each with the variant that must not pass.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/objectives/heads/feature_heads.h"
#include "distill/objectives/match.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Discrepancy entry(const std::string& call) { return make_discrepancy(parse_call(call, "test"), {}); }

Relation relation(const std::string& call) {
  Config config = Config::parse("relate: " + call, "test");
  return parse_relation(config.child("relate"), {});
}

Comparison compare(const Tensors& preds, const Tensors& targets) {
  Comparison c;
  c.pred = preds[0];
  if (!targets.empty()) c.target = targets[0];
  c.preds = preds;
  c.targets = targets;
  return c;
}

double value(const std::string& d, const Tensors& preds, const Tensors& targets) {
  return sum(entry(d).value(compare(preds, targets))).item();
}

Tensor gradient(const std::string& d, const Tensor& pred, const Tensors& targets) {
  Tape tape;
  const Tensor x = tape.watch(pred);
  return tape.gradients(sum(entry(d).value(compare({x}, targets))), std::span(&x, 1))[0];
}

Tensor matrix(std::vector<double> v, std::int64_t columns) {
  const auto rows = static_cast<std::int64_t>(v.size()) / columns;
  return Tensor::from(v, {rows, columns}, DType::f64);
}
}  // namespace

TEST_CASE("objectives: a relation says whether it couples the batch, and a chain does when one of it does") {
  for (const char* own : {"attention_map(2)", "channel_gram", "pool", "none", "splade", "scores"})
    CHECK(relation(own).scope == Scope::sample);
  for (const char* coupled :
       {"similarity", "distances", "angles", "cosine_share", "rbf_series", "centred_gram", "covariance", "pair_scores"})
    CHECK(relation(coupled).scope == Scope::batch);
  CHECK(relation("[pool, similarity]").scope == Scope::batch);
  CHECK(relation("[pool, normalize]").scope == Scope::sample);
}

TEST_CASE("objectives: */sample of a batch-coupled term divides by its rows, tokmean keeps the last axis") {
  const Tensor a = randn({4, 3}, 1), b = randn({4, 3}, 2);
  const auto total = [&](const std::string& keys) {
    Config term = Config::parse("{pred: student, target: teacher, " + keys + "}", "test");
    const auto match = make_match(parse_match("t", term, {}));
    Batch batch;
    batch.x = a;
    const Signals signals{{a}, {b}};
    return match->eval({batch, signals, {}, {}}).total.item() / match->units(batch);
  };
  const double whole = total("relate: similarity, d: sq, reduce: sum/batch");
  CHECK(total("relate: similarity, d: sq, reduce: sum/sample") == doctest::Approx(whole / 4).epsilon(1e-12));
  CHECK(total("relate: similarity, d: sq, reduce: mean/sample") == doctest::Approx(whole / 16).epsilon(1e-12));
  CHECK(total("relate: similarity, d: sq, reduce: tokmean/sample") == doctest::Approx(whole / 4).epsilon(1e-12));
  CHECK(total("d: sq, reduce: tokmean/sample") == doctest::Approx(total("d: sq, reduce: sum/sample")).epsilon(1e-12));
  CHECK_THROWS_AS(total("d: sq, reduce: sum/batch"), ConfigError);
}

TEST_CASE("objectives: attention maps have unit length and forget the scale of a map") {
  const Tensor f = randn({2, 3, 4, 4}, 1);
  const Tensor a = relation("attention_map(2)")({f})[0];
  CHECK(sum(square(a)).item() == doctest::Approx(2).epsilon(1e-12));
  CHECK(relative_error(relation("attention_map(2)")({f * 3.0})[0], a) < 1e-12);
  CHECK(relative_error(relation("attention_map(1)")({f})[0], a) > 1e-2);
}

TEST_CASE("objectives: NST's discrepancy is the distance of position Grams, (1/C) sum of f f'") {
  const Tensor s = randn({2, 3, 2, 2}, 1), t = randn({2, 5, 2, 2}, 2);
  const auto gram = [](const Tensor& f) {
    const Tensor flat = reshape(f, {2, f.size(1), 4});
    const Tensor unit = flat / sqrt(sum(square(flat), {2}, true));
    return matmul(unit, unit, true) / static_cast<double>(f.size(1));
  };
  const double by_gram = sum(square(gram(s) - gram(t))).item();
  CHECK(value("mmd", {s}, {t}) == doctest::Approx(by_gram).epsilon(1e-12));
  CHECK(std::abs(value("mmd", {s}, {t}) - sum(square(gram(s) - gram(t * t))).item()) > 1e-3);
}

TEST_CASE("objectives: CC's series tends to the kernel exp(-gamma |a - b|^2) of unit vectors") {
  const Tensor e = randn({4, 3}, 1), unit = e / sqrt(sum(square(e), {1}, true));
  const Tensor product = matmul(unit, unit, false, true);
  const Tensor kernel = exp((2.0 - product * 2.0) * -.4);
  CHECK(relative_error(relation("rbf_series(order=20 gamma=.4)")({e})[0], kernel) < 1e-12);
  CHECK(relative_error(relation("rbf_series(order=2 gamma=.4)")({e})[0], kernel) < .05);
  CHECK(relative_error(relation("rbf_series(order=1 gamma=.4)")({e})[0], kernel) > 1e-2);
}

TEST_CASE("objectives: RKD forgets rotation, shift and, but for angles, nothing else than scale") {
  const Tensor e = randn({5, 2}, 1), turn = matrix({.6, .8, -.8, .6}, 2);
  const Tensor moved = matmul(e, turn) * 2.5 + 3.0;
  for (const char* r : {"distances", "angles"}) {
    CHECK(relative_error(relation(r)({moved})[0], relation(r)({e})[0]) < 1e-9);
    CHECK(relative_error(relation(r)({e * matrix({1, 3}, 2)})[0], relation(r)({e})[0]) > 1e-2);
  }
  CHECK(value("smooth_l1", {matrix({.5, 3}, 2)}, {matrix({0, 0}, 2)}) == doctest::Approx(.125 + 2.5));
  CHECK(value("smooth_l1(2)", {matrix({.5, 3}, 2)}, {matrix({0, 0}, 2)}) == doctest::Approx(.0625 + 2));
}

TEST_CASE("objectives: gradients of relations are finite where points coincide") {
  for (const char* r : {"distances", "angles", "similarity", "cosine_share", "rbf_series", "centred_gram"}) {
    CAPTURE(r);
    Tape tape;
    const Tensor x = tape.watch(matrix({1, 2, 1, 2, 0, 0}, 2));
    const Tensor weights = randn({3, 3}, 3);
    const Tensor out = relation(r)({x})[0];
    const Tensor loss = sum(out * (out.rank() == 3 ? reshape(weights, {3, 3, 1}) : weights));
    for (const double g : tape.gradients(loss, std::span(&x, 1))[0].values()) CHECK(std::isfinite(g));
  }
}

TEST_CASE("objectives: CKA is 0 for orthogonal maps of the features at any scale, not for other ones") {
  const Tensor x = randn({6, 3}, 1);
  const Tensor turn = matrix({0, 0, 1, 1, 0, 0, 0, 1, 0}, 3), stretch = matrix({1, 0, 0, 0, 4, 0, 0, 0, 1}, 3);
  const auto cka = [&](const Tensor& y) {
    return value("whole_cos", relation("centred_gram")({x}), relation("centred_gram")({y}));
  };
  CHECK(std::abs(cka(matmul(x, turn) * 2.5 + 1.0)) < 1e-12);
  CHECK(cka(matmul(x, stretch)) > 1e-2);
}

TEST_CASE("objectives: OFD's margin is the mean of the negative part of a normal variable") {
  const double gamma = .8, beta = -.3;
  double mass = 0, mean = 0;
  for (int i = 0; i < 400000; ++i) {  // quadrature over [beta - 10 |gamma|, 0]
    const double low = beta - 10 * gamma, x = low * (1 - (i + .5) / 400000);
    const double p = std::exp(-.5 * std::pow((x - beta) / gamma, 2));
    mass += p;
    mean += p * x;
  }
  const MarginRelu head(matrix({-gamma, gamma}, 2).view({{2}, {1}, 0}), matrix({beta, 5}, 2).view({{2}, {1}, 0}));
  const auto m = head.margin.value.values();
  CHECK(m[0] == doctest::Approx(mean / mass).epsilon(1e-6));
  CHECK(m[1] == doctest::Approx(-3 * gamma));  // almost never negative
  CHECK(std::abs(m[0] - beta) > .1);
  // Below the margin nothing is asked of a student that is below it too.
  CHECK(value("ofd", {matrix({-2, -.2, .5}, 3)}, {matrix({-1, -1, 1}, 3)}) == doctest::Approx(.64 + .25));
  CHECK(value("sq", {matrix({-2, -.2, .5}, 3)}, {matrix({-1, -1, 1}, 3)}) == doctest::Approx(1 + .64 + .25));
}

TEST_CASE("objectives: norm and direction: short features are pushed along e, long ones across themselves") {
  const Tensor centre = matrix({3, 4}, 2), t = matrix({0, 2}, 2);
  const auto close = [](const Tensor& g, double a, double b) {
    CHECK(g.values()[0] == doctest::Approx(a));
    CHECK(g.values()[1] == doctest::Approx(b));
  };
  close(gradient("nd", matrix({.5, .1}, 2), {centre, t}), -.3, -.4);  // -e / |t|, whatever s is
  close(gradient("nd", matrix({-.2, .9}, 2), {centre, t}), -.3, -.4);
  const Tensor s = matrix({3, -1}, 2), g = gradient("nd", s, {centre, t});
  CHECK(std::abs(sum(g * s).item()) < 1e-12);
  CHECK(sum(square(g)).item() > 1e-3);
}

TEST_CASE("objectives: masks of ACAM: Dice is 0 for disjoint ones, 1 for equal ones; the loss is cubic in a mask") {
  const Tensor f = randn({1, 2, 2, 2}, 1), t = randn({1, 2, 2, 2}, 2);
  const auto masks = [](std::vector<double> v) { return reshape(matrix(std::move(v), 4), {1, 2, 4}); };
  const Tensor none = Tensor::zeros({1, 2, 2}, DType::f64), some = Tensor::full({1, 2, 2}, .5, DType::f64);
  const Tensor equal = masks({1, 0, 1, 0, 1, 0, 1, 0}), apart = masks({1, 0, 1, 0, 0, 1, 0, 1});
  const auto dice = [&](const Tensor& m) { return value("mask_dice", {f, some, m}, {t}); };
  CHECK(dice(equal) == doctest::Approx(2));
  CHECK(dice(apart) == doctest::Approx(1));
  CHECK(value("acam", {t, some, equal}, {t}) == 0.0);
  const Tensor hidden = masks({0, 0, 0, 0, 0, 0, 0, 0});
  const double once = value("acam", {f, some, hidden}, {t});
  CHECK(value("acam", {f, some * 2.0, hidden}, {t}) == doctest::Approx(8 * once).epsilon(1e-12));
  CHECK(value("acam", {f, none, hidden}, {t}) == 0.0);
}

TEST_CASE("objectives: HCL at one pixel is a mean square; levels weigh 1, 1/2, 1/4, 1/8 over their sum") {
  const Tensor a = randn({2, 3, 8, 8}, 1), b = randn({2, 3, 8, 8}, 2);
  const double shift = value("hcl(4 2 1)", {a}, {a + 2.0});
  CHECK(shift == doctest::Approx(2 * 4));  // a shift looks alike on every level
  const Tensor mean_a = mean(a, {2, 3}), mean_b = mean(b, {2, 3});
  const double full = mean(square(a - b)).item(), pooled = mean(square(mean_a - mean_b)).item();
  CHECK(value("hcl(1)", {a}, {b}) / 2 == doctest::Approx((full + pooled / 2) / 1.5).epsilon(1e-12));
  CHECK(value("hcl(8 1)", {a}, {b}) / 2 == doctest::Approx((full + pooled / 2) / 1.5).epsilon(1e-12));
}
