// tests/distill/objectives_logits_test.cpp -- comparisons of logits with soft, ranked, joint and chosen targets, the
// maps that make those targets, and weights of samples: identities of the papers, each with what must not pass.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/objectives/match.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Discrepancy entry(const std::string& call) { return make_discrepancy(parse_call(call, "test"), {}); }

Tensor row(std::vector<double> v) { return Tensor::from(v, {1, static_cast<std::int64_t>(v.size())}, DType::f64); }

Tensor ids(const std::vector<std::int64_t>& labels) {
  return Tensor::of<std::int64_t>(labels, {static_cast<std::int64_t>(labels.size())});
}

Comparison compare(const Tensor& pred, const Tensor& target, const std::vector<std::int64_t>& labels = {0}) {
  Comparison c;
  c.pred = pred;
  c.target = target;
  c.preds = {pred};
  c.targets = {target};
  c.batch.y = ids(labels);
  return c;
}

double value(const std::string& call, const Comparison& c) { return sum(entry(call).value(c)).item(); }

/// d value / d pred.
std::vector<double> gradient(const std::string& call, Comparison c) {
  Tape tape;
  c.pred = tape.watch(c.pred);
  c.preds = {c.pred};
  return tape.gradients(sum(entry(call).value(c)), std::span(&c.pred, 1))[0].values();
}

double largest(const std::vector<double>& v) {
  double most = 0;
  for (const double x : v) most = std::max(most, std::abs(x));
  return most;
}

/// A term of a preset on given signals; its value and the gradient in the first prediction.
struct Evaluated {
  double total;
  std::vector<double> gradient;
};
Evaluated evaluate(const std::string& yaml, Signals signals, const Batch& given, const NumberMap& numbers = {},
                   const Clock& clock = {}) {
  Config node = Config::parse(yaml, "test");
  const auto term = make_match(parse_match("t", node, numbers));
  Tape tape;
  const Tensor live = tape.watch(signals[0][0]);
  signals[0][0] = live;
  Batch batch = given;
  batch.x = live;
  const Tensor total = term->eval({batch, signals, clock, {}}).total;
  return {total.item(), tape.gradients(total, std::span(&live, 1))[0].values()};
}

Batch labelled(const std::vector<std::int64_t>& labels) {
  Batch b;
  b.y = ids(labels);
  return b;
}

const Tensor kStudent = row({0.3, -1.0, 0.5, 2.0}), kTeacher = row({1.2, 0.1, -0.4, 0.6});
}  // namespace

TEST_CASE("objectives: the order of classes (PLD) costs nothing more for a shift, and its gradient sums to 0") {
  const Comparison c = compare(kStudent, kTeacher, {2});
  const double loss = value("plackett_luce", c);
  CHECK(value("plackett_luce", compare(kStudent + 3.0, kTeacher, {2})) == doctest::Approx(loss).epsilon(1e-12));
  const auto g = gradient("plackett_luce", c);
  double all = 0;
  for (const double x : g) all += x;
  CHECK(std::abs(all) < 1e-12);
  for (std::size_t i = 0; i < 4; ++i) {
    std::vector<double> step(4, 0.0);
    step[i] = 1e-5;
    const double up = value("plackett_luce", compare(kStudent + row(step), kTeacher, {2}));
    const double down = value("plackett_luce", compare(kStudent - row(step), kTeacher, {2}));
    CHECK(g[i] == doctest::Approx((up - down) / 2e-5).epsilon(1e-7));
  }
  const Tensor s = row({0.7, -0.4}), t = row({-0.3, 0.9});  // two classes: p_t(y) CE
  const double p = softmax(t, 1).values()[0], q = softmax(s, 1).values()[0];
  CHECK(value("plackett_luce", compare(s, t, {0})) == doctest::Approx(-p * std::log(q)).epsilon(1e-12));
  CHECK(std::abs(value("plackett_luce", compare(s, t, {1})) + p * std::log(q)) > 1e-2);  // the label leads, not t
}

TEST_CASE("objectives: regression compatible ranking is at rest where scores equal relevances, list softmax is not") {
  const Tensor t = row({1.2, 0.1, -0.4, 0.6});
  CHECK(largest(gradient("bce", compare(t, t))) < 1e-12);
  CHECK(largest(gradient("list_ce", compare(t, t))) < 1e-12);
  const Tensor relevance = sigmoid(t) / sum(sigmoid(t));
  CHECK(largest(gradient("soft_ce", compare(t, log(relevance)))) > 1e-2);
  CHECK(largest(gradient("list_ce", compare(kStudent, t))) > 1e-2);
  CHECK(value("list_ce", compare(kStudent, row({-800, -800, -800, -800}))) == 0.0);  // a list without relevance
}

TEST_CASE("objectives: cross-entropy with a teacher has the gradient p_s - p_t, and shows the divergence") {
  const auto g = gradient("soft_ce", compare(kStudent, kTeacher));
  const auto s = softmax(kStudent, 1).values(), t = softmax(kTeacher, 1).values();
  for (std::size_t i = 0; i < 4; ++i) CHECK(g[i] == doctest::Approx(s[i] - t[i]).epsilon(1e-12));
  const Comparison c = compare(kStudent, kTeacher);
  const double shown = value("soft_ce", c) - entry("soft_ce").floor(c).item();
  CHECK(shown == doctest::Approx(value("kl(forward)", c)).epsilon(1e-12));
  const Tensor certain = log(row({0, 1, 0, 0}));  // an entropy of 0, not NaN
  CHECK(entry("soft_ce").floor(compare(kStudent, certain)).item() == 0.0);
}

TEST_CASE("objectives: OFA's target is (1 + p_y)^e - 1 at the label and p^e elsewhere") {
  const std::vector<double> p{.50, .168, .16, .128, .042};
  const Tensor t = log(row(p)), s = row({0.3, -1.0, 0.5, 2.0, -.2});
  CHECK(value("ofa(eps=1)", compare(s, t, {1})) == doctest::Approx(value("soft_ce", compare(s, t, {1}))));
  // The gradient is (sum of the target) p_s - target: with p_s known, the target can be read off.
  const auto g = gradient("ofa(eps=1.5)", compare(s, t, {1}));
  const auto q = softmax(s, 1).values();
  const std::vector<double> expected{.354, .262, .064, .046, .0086};
  double total = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    const double sum_p = .998;  // p was printed to three digits
    total += std::pow(p[i] / sum_p + (i == 1), 1.5) - (i == 1);
  }
  for (std::size_t i = 0; i < 5; ++i) CHECK(total * q[i] - g[i] == doctest::Approx(expected[i]).epsilon(5e-3));
}

TEST_CASE("objectives: joint labels y M + j, and the votes of views (SLA)") {
  const auto vote = make_target_map(parse_call("aggregate_views", "test"), {});
  const Batch batch = labelled({0});
  for (int view = 0; view < 4; ++view) {
    std::vector<double> unit(12, 0.0);
    unit[static_cast<std::size_t>(1 * 4 + 2)] = 1;  // class 1, view 2
    std::vector<Tensors> views(4, Tensors{row(std::vector<double>(12, 0.0))});
    views[static_cast<std::size_t>(view)] = {row(unit)};
    const auto votes = vote({views, {}, batch, 1, {}})[0].values();
    CHECK(votes == std::vector<double>{0, view == 2 ? .25 : 0, 0});
  }
  Comparison c = compare(row({5, 0, 0, 0, 0, 0}), {}, {1});  // 3 classes, 2 views
  c.preds = {row({0, 0, 5, 0, 0, 0}), row({0, 0, 0, 5, 0, 0})};
  const double right = value("joint_ce", c);
  CHECK(right == doctest::Approx(-std::log(std::exp(5.) / (std::exp(5.) + 5))).epsilon(1e-12));
  std::swap(c.preds[0], c.preds[1]);
  CHECK(value("joint_ce", c) == doctest::Approx(right + 5).epsilon(1e-12));
  c.batch.y = ids({-1});
  CHECK(value("joint_ce", c) == 0.0);
}

TEST_CASE("objectives: weighted soft labels hold the weight constant (WSLD)") {
  const std::string term = "{pred: student, target: teacher, d: soft_ce, weight: student_share, reduce: sum/sample}";
  const Evaluated e = evaluate(term, {{kStudent}, {kTeacher}}, labelled({2}));
  const auto s = softmax(kStudent, 1).values(), t = softmax(kTeacher, 1).values();
  const double w = 1 - std::exp(-std::log(s[2]) / std::log(t[2]));
  for (std::size_t i = 0; i < 4; ++i) CHECK(e.gradient[i] == doctest::Approx(w * (s[i] - t[i])).epsilon(1e-6));
  const Evaluated without = evaluate(term, {{kStudent}, {kTeacher}}, labelled({-1}));
  CHECK(without.total == 0.0);
  const Tensor sure = row({-900, 0, 0, 0}) * -1.0;  // both are: 0 / 0 would be NaN
  CHECK(evaluate(term, {{sure}, {sure}}, labelled({0})).total == 0.0);
}

TEST_CASE("objectives: of two peers the better one teaches and learns nothing") {
  const std::string term = "{pred: a, target: b, d: kl(forward), weight: more_reliable, reduce: sum/sample}";
  const Tensor good = row({2.0, 0.1, -0.4, 0.6}), bad = kStudent;
  CHECK(largest(evaluate(term, {{good}, {bad}}, labelled({0})).gradient) == 0.0);
  const Evaluated learner = evaluate(term, {{bad}, {good}}, labelled({0}));
  CHECK(learner.total == doctest::Approx(value("kl(forward)", compare(bad, good))).epsilon(1e-12));
}

TEST_CASE("objectives: a committee weighs teachers by similarity (DistillWeighted)") {
  const Tensor a = kTeacher, b = row({-0.3, 0.8, 1.1, -0.9});
  const auto prob = [&](const std::string& call) {
    const auto map = make_target_map(parse_call(call, "test"), {});
    return softmax(map({{{a}, {b}}, {}, labelled({0}), 1, {}})[0], 1);
  };
  const Tensor pa = softmax(a, 1), pb = softmax(b, 1);
  CHECK(relative_error(prob("committee(0 .9 .1)"), (pa + pb) * .5) < 1e-12);
  CHECK(relative_error(prob("committee(400 .3 .2)"), pa) < 1e-12);
  CHECK(relative_error(prob("committee(1 -.3 .2)"), pb) < 1e-12);
  CHECK(relative_error(prob("committee(1 .3 .1)"), pa * .75 + pb * .25) < 1e-12);
  CHECK(relative_error(prob("committee(2 .3 .1)"), pa * .75 + pb * .25) > 1e-2);
  CHECK_THROWS_AS(prob("committee(1 -.3 -.2)"), ConfigError);
  CHECK_THROWS_AS(prob("committee(1 .3)"), ConfigError);
}

TEST_CASE("objectives: PS-KD is cross-entropy in the first epoch, then has the gradient p - target") {
  const std::string term = "{pred: student, target: {store: past}, map: past(a), d: soft_ce, reduce: sum/sample}";
  const auto at = [&](double epoch, double alpha) {
    return evaluate(term, {{kStudent}, {kTeacher}}, labelled({2}), {{"a", Number(alpha)}}, {.epoch = epoch});
  };
  const double ce = value("ce", compare(kStudent, {}, {2}));
  CHECK(at(.9, .8).total == doctest::Approx(ce).epsilon(1e-12));
  CHECK(at(5, 0).total == doctest::Approx(ce).epsilon(1e-12));
  const auto p = softmax(kStudent, 1).values(), past = softmax(kTeacher, 1).values();
  const Evaluated e = at(1, .6);
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(e.gradient[i] == doctest::Approx(p[i] - (.4 * (i == 2) + .6 * past[i])).epsilon(1e-12));
}

TEST_CASE("objectives: the worst group alone has a gradient, whichever it is") {
  const Tensor z = concat(Tensors{kStudent, kTeacher, row({-.5, .4, .9, .7})}, 0);
  Comparison c = compare(z, {}, {2, 3, 0});
  c.targets = {concat(Tensors{row({0, 0, 9, 0}), row({9, 0, 0, 0}), row({9, 0, 0, 0})}, 0)};  // right, wrong, right
  const auto g = gradient("worst_group_ce", c);
  const auto ce = entry("ce").value(c).values();
  const double first = (ce[0] + ce[2]) / 2, second = ce[1];
  CHECK(value("worst_group_ce", c) == doctest::Approx(std::max(first, second)).epsilon(1e-12));
  for (std::size_t i = 0; i < 3; ++i) {
    const bool in_worst = (first > second) == (i != 1);
    CHECK((largest({g.begin() + 4 * static_cast<std::ptrdiff_t>(i),
                    g.begin() + 4 * static_cast<std::ptrdiff_t>(i) + 4}) > 0) == in_worst);
  }
}

TEST_CASE("objectives: heads imitate the choices of earlier models, agreement and dispute in equal parts") {
  const Tensor z = concat(Tensors{kStudent, kTeacher, kStudent}, 0);
  Comparison c = compare(z, {}, {2, 0, 1});
  const Tensor a = concat(Tensors{row({0, 0, 9, 0}), row({9, 0, 0, 0}), row({9, 0, 0, 0})}, 0);
  const Tensor b = concat(Tensors{row({0, 0, 9, 0}), row({9, 0, 0, 0}), row({0, 9, 0, 0})}, 0);  // third: one right
  c.preds = {z, z};
  c.targets = {a, b};
  const auto ce = [&](const Tensor& logits, std::int64_t y) { return value("ce", compare(logits, {}, {y})); };
  const double agree = (2 * ce(kStudent, 2) + 2 * ce(kTeacher, 0)) / 2, dispute = ce(kStudent, 0) + ce(kStudent, 1);
  CHECK(value("chosen_ce", c) == doctest::Approx((agree + dispute) / 2).epsilon(1e-12));
  c.targets = {a, a};
  const double all = (2 * ce(kStudent, 2) + 2 * ce(kTeacher, 0) + 2 * ce(kStudent, 0)) / 3;
  CHECK(value("chosen_ce", c) == doctest::Approx(all).epsilon(1e-12));  // nothing in dispute
}

TEST_CASE("objectives: a discriminator that says nothing costs log 2") {
  const Tensor zero = row({0, 0});
  CHECK(value("discriminate", compare(zero, zero)) == doctest::Approx(std::log(2.)).epsilon(1e-12));
  CHECK(value("discriminate", compare(row({9, -9}), row({-9, 9}))) < 1e-3);
  CHECK(value("discriminate", compare(row({-9, 9}), row({9, -9}))) > 8);  // roles exchanged
}

TEST_CASE("objectives: linear CKA forgets rotations and scales, and counts tokens as samples") {
  const Tensor x = randn({6, 5, 4}, 1), q = qr(randn({4, 4}, 2)).q;
  CHECK(std::abs(value("linear_cka", compare(x, matmul(x, q) * 2.5))) < 1e-12);
  CHECK(value("linear_cka", compare(x, x * x)) > .1);
  CHECK(value("linear_cka", compare(x, reshape(x, {30, 4}))) == doctest::Approx(0).epsilon(1e-12));
  const Tensor constant = Tensor::full({6, 5, 4}, 3., DType::f64);
  CHECK(value("linear_cka", compare(x, constant)) == 1.0);
  CHECK(largest(gradient("linear_cka", compare(constant, x))) < 1e-6);
}

TEST_CASE("numbers: a Gaussian rise, and the share of epochs begun") {
  const auto number = [](const std::string& yaml) {
    Config c = Config::parse("rise: " + yaml, "test");
    return Number::parse(c.child("rise"));
  };
  const Number rise = number("{ramp: [[0, 0], [1, 2]], by: fraction, shape: gaussian}");
  CHECK(rise.at({.step = 0, .steps = 4}) == doctest::Approx(2 * std::exp(-5.)));
  CHECK(rise.at({.step = 1, .steps = 4}) == doctest::Approx(2 * std::exp(-5 * .75 * .75)));
  CHECK(rise.at({.step = 4, .steps = 4}) == 2);
  const Number share = number("{ramp: [[0, 0], [1, .8]], by: epoch_share}");
  CHECK(share.at({.epoch = 0, .epochs = 4}) == doctest::Approx(.2));
  CHECK(share.at({.epoch = 2.9, .epochs = 4}) == doctest::Approx(.6));
  CHECK(share.at({.epoch = 3, .epochs = 3.5}) == doctest::Approx(.8));
}
