// tests/nn/aggregate_test.cpp -- weights of several losses' gradients against closed forms and their defining
// properties.
#include "nn/optim/aggregate.h"

#include <cmath>

#include "autograd/ops/reduce.h"
#include "nn/optim/clip.h"
#include "tensor/write.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
using Row = std::vector<double>;
using Rows = std::vector<Row>;
using Rule = std::function<LossWeights(const Gram&)>;

double dot(const Row& a, const Row& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

Gram gram(const Rows& rows) {
  Gram g(static_cast<int>(rows.size()));
  for (int i = 0; i < g.size(); ++i)
    for (int j = 0; j < g.size(); ++j)
      g(i, j) = dot(rows[static_cast<std::size_t>(i)], rows[static_cast<std::size_t>(j)]);
  return g;
}

Row combined(const Rows& rows, const LossWeights& w) {
  Row d(rows[0].size(), 0.0);
  for (std::size_t i = 0; i < rows.size(); ++i)
    for (std::size_t p = 0; p < d.size(); ++p) d[p] += w[i] * rows[i][p];
  return d;
}

Rows random_rows(int k, int n, std::uint64_t seed) {
  const Row values = randn({k, n}, seed).values();
  Rows rows(static_cast<std::size_t>(k));
  for (std::size_t i = 0; i < values.size(); ++i) rows[i / static_cast<std::size_t>(n)].push_back(values[i]);
  return rows;
}

void check_near(const Row& got, const Row& expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(got[i] - expected[i]) <= tolerance);
  }
}

const RngKey kKey = Rng(5).stream("aggregate");
const Rows kConflict{{1, 0}, {-1, 1}};
}  // namespace

TEST_CASE("optim: quadratic programs satisfy their optimality conditions") {
  for (const bool simplex : {false, true})
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      CAPTURE(seed);
      const int k = 1 + static_cast<int>(seed % 7);
      const Gram h = gram(random_rows(k, k + 2, seed));
      const Row b = randn({k}, 100 + seed).values();
      const Row x = quadratic_minimum(h, b, simplex), slope = h.times(x);
      double sum = 0, mu = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(x[i] >= 0);
        sum += x[i];
        if (simplex) mu += x[i] * (slope[i] + b[i]);
      }
      if (simplex) CHECK(sum == doctest::Approx(1).epsilon(1e-12));
      for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(slope[i] + b[i] - mu >= -1e-9);                   // no unknown can rise with profit
        CHECK(std::abs(x[i] * (slope[i] + b[i] - mu)) < 1e-9);  // those above zero are at their minimum
      }
    }
  // x^2 + y^2 - 2x + 2y: (1, 0) in the quadrant, also on the simplex.
  for (const bool simplex : {false, true})
    check_near(quadratic_minimum(Gram(2, {2, 0, 0, 2}), {-2, 2}, simplex), {1, 0}, 1e-10);
  CHECK_THROWS_AS(quadratic_minimum(Gram(1, {NAN}), {0}, false), NumericError);
  CHECK_THROWS_AS(quadratic_minimum(Gram(1), {0, 0}, false), ShapeError);
}

TEST_CASE("optim: two conflicting gradients have the answers of the papers") {
  const Gram g = gram(kConflict);
  // UPGrad: g1 projects to (1/2, 1/2), g2 to (0, 1); their mean. DualProj: the mean (0, 1/2) does not conflict.
  check_near(combined(kConflict, upgrad_weights(g)), {.25, .75}, 1e-3);
  check_near(combined(kConflict, dualproj_weights(g)), {0, .5}, 1e-3);
  // PCGrad: the sum of the same projections, with any order.
  check_near(combined(kConflict, pcgrad_weights(g, kKey)), {.5, 1.5}, 1e-12);
  // The shortest convex combination of two: w1 = (G22 - G12) / (G11 + G22 - 2 G12) = 3/5.
  check_near(min_norm_weights(g), {.6, .4}, 1e-10);
  check_near(sum_weights(g), {1, 1}, 0);
  // G w = 1 / w gives a w1^2 = c w2^2 and w1^2 = 1 / (a + b sqrt(a / c)).
  const double w1 = std::sqrt(1 / (1 - std::sqrt(.5)));
  check_near(nash_weights(g), {w1, w1 * std::sqrt(.5)}, 1e-6);
  // The projections on both unit gradients are equal: here v = G^-1 (1, sqrt 2), divided by its sum.
  const Row v{2 + std::sqrt(2.), 1 + std::sqrt(2.)};
  check_near(imtl_weights(g), {v[0] / (v[0] + v[1]), v[1] / (v[0] + v[1])}, 1e-10);
}

TEST_CASE("optim: gradients of equal length have symmetric answers") {
  for (const double cosine : {-.8, -.2, .6}) {
    CAPTURE(cosine);
    const Gram g(2, {1, cosine, cosine, 1});
    const double narrow = std::min(1., std::sqrt((1 - cosine) / (1 + cosine)));
    check_near(aligned_weights(g), {narrow / 2, narrow / 2}, 1e-10);
    check_near(cagrad_weights(g, .4), {.7, .7}, 1e-6);  // the mean is best already: (1 + c) of it
    check_near(min_norm_weights(g), {.5, .5}, 1e-9);
    check_near(imtl_weights(g), {.5, .5}, 1e-10);
    const double each = 1 / std::sqrt(1 + cosine);
    check_near(nash_weights(g), {each, each}, 1e-6);
    if (cosine > 0) {
      check_near(upgrad_weights(g), {.5, .5}, 1e-12);  // nothing conflicts: the mean
      check_near(pcgrad_weights(g, kKey), {1, 1}, 0);
    }
  }
  // Orthogonal rows of lengths 2 and 1: only the longer one shrinks.
  check_near(aligned_weights(Gram(2, {4, 0, 0, 1})), {.25, .5}, 1e-12);
  check_near(imtl_weights(Gram(2, {4, 0, 0, 1})), {1. / 3, 2. / 3}, 1e-12);
  check_near(nash_weights(Gram(2, {4, 0, 0, 1})), {.5, 1}, 1e-6);
}

TEST_CASE("optim: CAGrad's direction is the best that a dense search finds") {
  for (const double c : {0., .3, .9}) {
    CAPTURE(c);
    const Gram g = gram(kConflict);
    const Row mean_gradient{0, .5};
    const double radius = c * .5;
    // The worst loss falls by min_i g_i . d; d runs over the disc around the mean gradient.
    double best = -INFINITY;
    for (int i = 0; i < 20000; ++i) {
      const double angle = i * 2 * M_PI / 20000;
      const Row d{radius * std::cos(angle), mean_gradient[1] + radius * std::sin(angle)};
      best = std::max(best, std::min(dot(kConflict[0], d), dot(kConflict[1], d)));
    }
    const Row d = combined(kConflict, cagrad_weights(g, c));
    CHECK(std::hypot(d[0], d[1] - .5) <= radius + 1e-9);
    CHECK(std::min(dot(kConflict[0], d), dot(kConflict[1], d)) >= best - 1e-7);
  }
  CHECK_THROWS_AS(cagrad_weights(Gram(1, {1}), -1), ValueError);
}

TEST_CASE("optim: defining properties hold for random gradients, and signs matter") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    const int k = 2 + static_cast<int>(seed % 4);
    Rows rows = random_rows(k, 3 + k, seed);
    const Gram g = gram(rows);
    const Row up = combined(rows, upgrad_weights(g)), proj = combined(rows, dualproj_weights(g));
    const Row shortest = combined(rows, min_norm_weights(g)), equal = combined(rows, imtl_weights(g));
    for (const Row& r : rows) {
      CHECK(dot(r, up) > -1e-2 * g.trace() / k);  // the ridge of 1e-4 lets a little through
      CHECK(dot(r, proj) > -1e-2 * g.trace() / k);
      CHECK(dot(r, shortest) >= dot(shortest, shortest) - 1e-8);
      CHECK(dot(r, equal) / std::sqrt(dot(r, r)) ==
            doctest::Approx(dot(rows[0], equal) / std::sqrt(dot(rows[0], rows[0]))).epsilon(1e-8));
    }
    const LossWeights w = nash_weights(g), gw = g.times(w);
    for (std::size_t i = 0; i < w.size(); ++i) CHECK(w[i] * gw[i] == doctest::Approx(1).epsilon(1e-6));
    // Scaling every loss scales the answers of the mean's size not at all, Nash's inversely.
    for (Row& r : rows)
      for (double& v : r) v *= 1e-4;
    const Gram small = gram(rows);
    check_near(upgrad_weights(small), upgrad_weights(g), 1e-9);
    check_near(aligned_weights(small), aligned_weights(g), 1e-9);
    check_near(min_norm_weights(small), min_norm_weights(g), 1e-9);
    CHECK(nash_weights(small)[0] == doctest::Approx(1e4 * w[0]).epsilon(1e-6));
    // A gradient with its sign turned is another problem.
    for (double& v : rows[0]) v *= -1;
    CHECK(std::abs(upgrad_weights(gram(rows))[1] - upgrad_weights(g)[1]) +
              std::abs(min_norm_weights(gram(rows))[1] - min_norm_weights(g)[1]) >
          1e-6);
  }
}

TEST_CASE("optim: PCGrad draws an order for each gradient from the key alone") {
  const Gram g = gram({{1, 0, 0}, {-1, 1, 0}, {-1, -2, 1}});
  const LossWeights first = pcgrad_weights(g, kKey);
  CHECK(pcgrad_weights(g, kKey) == first);
  bool differs = false;
  for (std::uint32_t step = 1; step < 20; ++step)
    differs = differs || pcgrad_weights(g, Rng(5).stream("aggregate", step)) != first;
  CHECK(differs);
}

TEST_CASE("optim: equal, opposite and vanishing gradients give finite weights") {
  const std::vector<std::pair<std::string, Rule>> rules{
      {"min_norm", min_norm_weights},
      {"upgrad", upgrad_weights},
      {"dualproj", dualproj_weights},
      {"nash", nash_weights},
      {"aligned", aligned_weights},
      {"imtl", imtl_weights},
      {"cagrad", [](const Gram& g) { return cagrad_weights(g, .4); }},
      {"pcgrad", [](const Gram& g) { return pcgrad_weights(g, kKey); }}};
  const std::vector<Rows> cases{
      {{1, 2}, {1, 2}, {1, 2}}, {{1, 0}, {-1, 0}}, {{0, 0}, {0, 0}}, {{1, 0}, {0, 0}}, {{3, 4}}};
  for (const auto& [rule_name, rule] : rules)
    for (std::size_t c = 0; c < cases.size(); ++c) {
      const std::string& name = rule_name;
      CAPTURE(name);
      CAPTURE(c);
      const LossWeights w = rule(gram(cases[c]));
      for (const double v : w) CHECK(std::isfinite(v));
      if (c == 0 && name != "nash" && name != "pcgrad")
        check_near(combined(cases[c], w), name == "cagrad" ? Row{1.4, 2.8} : Row{1, 2}, 1e-3);
      if (c == 1 && name != "nash") CHECK(std::abs(combined(cases[c], w)[0]) < 1e-3);
    }
}

TEST_CASE("optim: the Gram matrix sums inner products over all parameters in f64, any layout") {
  std::vector<std::vector<Tensor>> rows;
  Rows plain;
  for (std::uint64_t r = 0; r < 3; ++r) {
    const Tensor a = randn({40001}, 2 * r), b = randn({4, 3, 2, 5}, 2 * r + 1);
    rows.push_back({a, r == 0 ? b : copy_of(b, true)});
    plain.push_back(a.values());
    for (const double v : b.values()) plain.back().push_back(v);
  }
  const Gram got = gram_matrix(rows), want = gram(plain);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) CHECK(got(i, j) == doctest::Approx(want(i, j)).epsilon(1e-12));
  CHECK_THROWS_AS(inner_product(randn({3}), randn({4})), ShapeError);
}
