// tests/distill/objectives_test.cpp -- the discrepancies and relations of table `d` against hand-worked values, each
// with the variant that must not pass.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"
#include "distill/objectives/match.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Discrepancy entry(const std::string& call) { return make_discrepancy(parse_call(call, "test"), {}); }

Comparison compare(const Tensor& pred, const Tensor& target, double T = 1,
                   const std::vector<std::int64_t>& labels = {}) {
  Comparison c;
  c.pred = pred;
  c.target = target;
  c.T_pred = c.T_target = T;
  if (!labels.empty()) c.batch.y = Tensor::of<std::int64_t>(labels, {static_cast<std::int64_t>(labels.size())});
  return c;
}

std::vector<double> probabilities(const Tensor& logits, double T = 1) { return softmax(logits / T, 1).values(); }

Tensor row(std::vector<double> v) { return Tensor::from(v, {1, static_cast<std::int64_t>(v.size())}, DType::f64); }
}  // namespace

TEST_CASE("objectives: kl(forward) is KL(teacher || student), kl(reverse) the other way round") {
  const Tensor s = row({0.3, -1.0, 0.5}), t = row({1.2, 0.1, -0.4});
  const auto p = probabilities(t), q = probabilities(s);
  double forward = 0, reverse = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    forward += p[i] * std::log(p[i] / q[i]);
    reverse += q[i] * std::log(q[i] / p[i]);
  }
  CHECK(entry("kl(forward)").value(compare(s, t)).item() == doctest::Approx(forward).epsilon(1e-12));
  CHECK(entry("kl(reverse)").value(compare(s, t)).item() == doctest::Approx(reverse).epsilon(1e-12));
  CHECK(std::abs(forward - reverse) > 1e-2);  // swapping them would be noticed
  CHECK(entry("jeffreys").value(compare(s, t)).item() == doctest::Approx(forward + reverse).epsilon(1e-12));
  for (const char* d : {"kl(forward)", "kl(reverse)", "js(.3)", "jeffreys", "dkd(1 8)", "pearson(rows)"})
    CHECK(std::abs(entry(d).value(compare(t, t, 1, {0})).item()) < 1e-7);
}

TEST_CASE("objectives: T^2 KL has the gradient T (p_s - p_t), which tends to the difference of centred logits / C") {
  const Tensor s = row({0.3, -1.0, 0.5, 0.9}), t = row({1.2, 0.1, -0.4, -0.2});
  const double T = 1e4;
  Tape tape;
  const Tensor x = tape.watch(s);
  const Tensor loss = sum(entry("kl(forward)").value(compare(x, t, T))) * (T * T);
  const auto g = tape.gradients(loss, std::span(&x, 1))[0].values();
  const auto zs = s.values(), zt = t.values();
  double mean_s = 0, mean_t = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    mean_s += zs[i] / 4;
    mean_t += zt[i] / 4;
  }
  for (std::size_t i = 0; i < 4; ++i) {
    const double limit = ((zs[i] - mean_s) - (zt[i] - mean_t)) / 4;
    CHECK(g[i] == doctest::Approx(limit).epsilon(1e-3));
    CHECK(std::abs(g[i] / (T * T) - limit) > 0.5 * std::abs(limit));  // without T^2 it vanishes
  }
}

TEST_CASE("objectives: DKD splits KL = TCKD + (1 - p_t,y) NCKD") {
  const Tensor s = row({0.3, -1.0, 0.5, 2.0}), t = row({1.2, 0.1, -0.4, 0.6});
  for (const std::int64_t y : {0, 2, 3}) {
    const double kl = entry("kl(forward)").value(compare(s, t)).item();
    const double tckd = entry("dkd(alpha=1 beta=0)").value(compare(s, t, 1, {y})).item();
    const double nckd = entry("dkd(alpha=0 beta=1)").value(compare(s, t, 1, {y})).item();
    const double rest = 1 - probabilities(t)[static_cast<std::size_t>(y)];
    CHECK(kl == doctest::Approx(tckd + rest * nckd).epsilon(1e-12));
    CHECK(std::abs(kl - (tckd + nckd)) > 1e-3);  // NCKD unweighted is another objective
  }
}

TEST_CASE("objectives: DIST sees correlation only: affine maps of a row of probabilities cost nothing") {
  const Tensor t = row({1.2, 0.1, -0.4, 0.6});
  CHECK(std::abs(entry("pearson(rows)").value(compare(t, t)).item()) < 1e-6);  // 1e-8 over the product of the norms
  const auto p = probabilities(t), q = probabilities(row({0.3, -1.0, 0.5, 2.0}));
  double sp = 0, sq = 0, pp = 0, qq = 0, pq = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    sp += p[i] / 4;
    sq += q[i] / 4;
  }
  for (std::size_t i = 0; i < 4; ++i) {
    pp += (p[i] - sp) * (p[i] - sp);
    qq += (q[i] - sq) * (q[i] - sq);
    pq += (p[i] - sp) * (q[i] - sq);
  }
  const double got = entry("pearson(rows)").value(compare(row({0.3, -1.0, 0.5, 2.0}), t)).item();
  CHECK(got == doctest::Approx(1 - pq / std::sqrt(pp * qq)).epsilon(1e-6));
  // Columns are correlated over the batch: a permutation of the batch changes rows' partners, so the value.
  const Tensor a = randn({5, 3}, 1), b = randn({5, 3}, 2);
  CHECK(entry("pearson(columns)").scope == Scope::batch);
  CHECK(entry("pearson(columns)").value(compare(a, b)).item() !=
        doctest::Approx(mean(entry("pearson(rows)").value(compare(a, b))).item()));
}

TEST_CASE("objectives: standardised logits forget shift and scale (LSKD)") {
  Config config = Config::parse("relate: standardize", "test");
  const Relation relation = parse_relation(config.child("relate"), {});
  const auto z = [&](const Tensor& x) { return relation({x})[0]; };
  const Tensor t = row({1.2, 0.1, -0.4, 0.6});
  CHECK(relative_error(z(t * 3.0 + 5.0), z(t)) < 1e-6);
  CHECK(sum(z(t)).item() == doctest::Approx(0).epsilon(1e-9));
  CHECK(sum(mul(z(t), z(t))).item() == doctest::Approx(3.0).epsilon(1e-5));  // n - 1: the unbiased deviation, not n
}

TEST_CASE("objectives: cross-entropy mixes two labels by lambda, and hides unlabelled samples") {
  const Tensor z = row({0.3, -1.0, 0.5});
  const auto p = probabilities(z);
  Comparison c = compare(z, {}, 1, {0});
  c.batch.y2 = Tensor::of<std::int64_t>(std::vector<std::int64_t>{2}, {1});
  c.batch.lambda = Tensor::from(std::vector<double>{.25}, {1}, DType::f64);
  CHECK(entry("ce").value(c).item() == doctest::Approx(-.25 * std::log(p[0]) - .75 * std::log(p[2])).epsilon(1e-12));
  CHECK(entry("ce").value(compare(z, {}, 1, {-1})).item() == 0.0);
}

TEST_CASE("objectives: sq is a sum over features, divided by them under mean/sample") {
  const Tensor a = randn({4, 2, 3, 3}, 1), b = randn({4, 2, 3, 3}, 2);
  Batch batch;
  batch.x = a;
  const Signals signals{{a}, {b}};
  const auto value = [&](const std::string& within) {
    Config term = Config::parse("{pred: student, target: teacher, d: sq, reduce: " + within + "/sample}", "test");
    return make_match(parse_match("hint", term, {}))->eval({batch, signals, {}, {}}).total.item();
  };
  double by_hand = 0;
  const auto va = a.values(), vb = b.values();
  for (std::size_t i = 0; i < va.size(); ++i) by_hand += (va[i] - vb[i]) * (va[i] - vb[i]);
  CHECK(value("sum") == doctest::Approx(by_hand).epsilon(1e-12));
  CHECK(value("mean") == doctest::Approx(by_hand / 18).epsilon(1e-12));
}
