// tests/distill/objectives_contrast_test.cpp -- noise-contrastive losses, mutual information and scores of layers
// against closed forms.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/match.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Discrepancy entry(const std::string& call) { return make_discrepancy(parse_call(call, "test"), {}); }

double value(const std::string& d, const Tensors& preds, const Tensors& targets) {
  Comparison c;
  c.preds = preds;
  c.targets = targets;
  c.pred = preds[0];
  if (!targets.empty()) c.target = targets[0];
  return mean(entry(d).value(c)).item();
}

Tensor unit_rows(const Tensor& x) { return x / sqrt(sum(square(x), {1}, true)); }
}  // namespace

TEST_CASE("objectives: NCE with Z from the sphere: a random bank gives h = 1 / (1 + K) on the average score") {
  // With every score at tau log(mean exp), P = 1 / n, so h = 1 / (1 + K) and the loss is known.
  const std::int64_t d = 128, K = 4000;
  const double tau = .07;
  const Tensor v = unit_rows(randn({1, d}, 1)), bank = unit_rows(randn({K, d}, 2));
  const Tensor scores = matmul(bank, v, false, true) / tau;
  const double z = std::log(mean(exp(scores)).item());  // what the first batch of a random bank measures
  const auto h = [&](double x) { return std::exp(x - z) / (std::exp(x - z) + static_cast<double>(K)); };
  double expected = -std::log(h(sum(v * slice(bank, 0, 0, 1)).item() / tau));
  for (const double x : scores.values()) expected -= std::log(1 - h(x));
  const double got = value("nce(.07)", {v}, {slice(bank, 0, 0, 1), reshape(bank, {1, K, d})});
  CHECK(got == doctest::Approx(expected).epsilon(.02));  // the deviation of the measured mean is 2 / sqrt(K) = 3 %
  CHECK(std::abs(got - value("nce(.1)", {v}, {slice(bank, 0, 0, 1), reshape(bank, {1, K, d})})) > .5);
}

TEST_CASE(
    "objectives: I_alpha of correlated normals: NWJ with the best critic is unbiased, InfoNCE stays below log K") {
  // f = 1 + log p(x, y) / (p(x) p(y)) for correlation .8, as a product of features: exact I = -log(1 - .64) / 2.
  const double rho = .8, one = 1 - rho * rho, exact = -.5 * std::log(one);
  const std::int64_t K = 256;
  double nwj = 0, nce = 0;
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; ++round) {
    const auto seed = static_cast<std::uint64_t>(2 * round);
    const Tensor x = randn({K, 1}, seed + 1), y = x * rho + randn({K, 1}, seed + 2) * std::sqrt(one);
    const Tensor ones = Tensor::full({K, 1}, 1, DType::f64);
    const double c = rho / one, q = -rho * rho / (2 * one), bias = 1 - .5 * std::log(one);
    const Tensor fx = concat(Tensors{x * c, square(x) * q + bias, ones}, 1);
    const Tensor fy = concat(Tensors{y, ones, square(y) * q}, 1);
    nwj -= value("mi_alpha(0)", {fy}, {fx}) / kRounds;
    const double bound = -value("mi_alpha(1)", {fy}, {fx});
    nce += bound / kRounds;
    CHECK(bound <= std::log(static_cast<double>(K)));
  }
  CHECK(nwj == doctest::Approx(exact).epsilon(.15));
  CHECK(nce == doctest::Approx(exact).epsilon(.15));
  const Tensor sharp = eye(8, DType::f64) * 100.0;  // InfoNCE cannot exceed log K, however sure the critic
  CHECK(-value("mi_alpha(1)", {sharp}, {sharp}) == doctest::Approx(std::log(8.0)));
}

TEST_CASE("objectives: layers that rank the right document count more: NLL 0 and 10 give .731 and .269") {
  const auto layer = [](double nll) {  // two queries; the wrong document ahead by `lead`: -log softmax = nll
    const double lead = nll == 0 ? -100 : std::log(std::expm1(nll));
    return Tensor::from(std::vector<double>{0, lead, lead, 0}, {2, 2}, DType::f64);
  };
  const auto scores = [](std::vector<double> v) { return Tensor::from(v, {2, 2}, DType::f64); };
  const Tensor t0 = layer(0), t1 = layer(10), s0 = scores({.3, -.2, .6, .1}), s1 = scores({4, -3, 2, 5});
  const auto kl = [&](const Tensor& a, const Tensor& b) { return value("kl(forward)", {a}, {b}); };
  const double got = value("layer_kl(10)", {s0, s1}, {t0, t1});
  CHECK(got == doctest::Approx(.7310585786 * kl(s0, t0) + .2689414214 * kl(s1, t1)).epsilon(1e-8));
  CHECK(std::abs(got - (kl(s0, t0) + kl(s1, t1)) / 2) > .1);
}

TEST_CASE("objectives: scores of pairs: a permutation of the batch changes nothing, a turn of both sides nothing") {
  Config config = Config::parse("relate: pair_scores", "test");
  const Relation scores = parse_relation(config.child("relate"), {});
  const Tensor q = randn({4, 3}, 1), d = randn({4, 3}, 2);
  const Tensor order = Tensor::of<std::int64_t>(std::vector<std::int64_t>{2, 0, 3, 1}, {4});
  const auto permuted = [&](const Tensor& t) { return index_select(t, 0, order); };
  const auto nll = [&](const Tensor& a, const Tensor& b) { return value("diagonal_ce", scores({a, b}), {}); };
  CHECK(nll(permuted(q), permuted(d)) == doctest::Approx(nll(q, d)).epsilon(1e-12));
  CHECK(std::abs(nll(permuted(q), d) - nll(q, d)) > 1e-2);
  const Tensor turn = Tensor::from(std::vector<double>{0, 0, 1, 1, 0, 0, 0, 1, 0}, {3, 3}, DType::f64);
  CHECK(nll(matmul(q, turn), matmul(d, turn)) == doctest::Approx(nll(q, d)).epsilon(1e-12));
}
