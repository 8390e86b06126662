// tests/nn/optim_more_test.cpp -- Lion, Adafactor and split momentum against hand-worked steps and plain loops.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/optim/adafactor.h"
#include "nn/optim/lion.h"
#include "nn/optim/split_momentum.h"
#include "tensor/write.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
double sign(double v) { return (v > 0) - (v < 0); }

double root_mean_square(const std::vector<double>& v) {
  double s = 0;
  for (const double x : v) s += x * x;
  return std::sqrt(s / static_cast<double>(v.size()));
}

/// Algorithms 4 and 5 by loops, a parameter of `rows` by values.size() / rows (rows = 0: a vector).
struct PlainAdafactor {
  AdafactorOptions o;
  std::size_t rows;
  std::vector<double> row{}, column{}, v{}, m{};

  void step(std::vector<double>& p, const std::vector<double>& g, double lr, int t) {
    const double b = 1 - std::pow(t, -o.decay);
    const std::size_t columns = rows == 0 ? 0 : p.size() / rows;
    std::vector<double> u(p.size());
    row.resize(rows);
    column.resize(columns);
    v.resize(p.size());
    m.resize(p.size());
    for (std::size_t i = 0; i < rows; ++i) row[i] *= b;
    for (std::size_t j = 0; j < columns; ++j) column[j] *= b;
    double all = 0;
    for (std::size_t k = 0; k < p.size(); ++k) {
      const double square = g[k] * g[k] + o.eps1;
      v[k] = b * v[k] + (1 - b) * square;
      if (rows == 0) continue;
      row[k / columns] += (1 - b) * square;
      column[k % columns] += (1 - b) * square;
    }
    for (const double r : row) all += r;
    for (std::size_t k = 0; k < p.size(); ++k)
      u[k] = g[k] / std::sqrt(rows == 0 ? v[k] : row[k / columns] * column[k % columns] / all);
    const double size = std::max(1., root_mean_square(u) / o.threshold);
    const double rate = o.relative ? std::max(o.eps2, root_mean_square(p)) * std::min(lr, 1 / std::sqrt(t)) : lr;
    for (std::size_t k = 0; k < p.size(); ++k) {
      double step = u[k] / size;
      if (o.beta1 > 0) step = m[k] = o.beta1 * m[k] + (1 - o.beta1) * step;
      p[k] -= rate * (step + o.weight_decay * p[k]);
    }
  }
};
}  // namespace

TEST_CASE("optim: Lion moves by lr along the sign of its interpolated momentum") {
  Bag m;
  m.items.emplace_back(Tensor::from(std::vector<double>{1, 1, 1, 1}, {4}, DType::f64));
  Lion lion({.beta1 = .9, .beta2 = .5, .weight_decay = .1});
  const auto step = [&](std::vector<double> g) {
    const Tensor grad = Tensor::from(g, {4}, DType::f64);
    lion.step(parameters_of(m), std::span(&grad, 1), .01);
    return m.items[0].value.values();
  };
  // First momentum is 0: the sign of the gradient, and the decay alone where it is 0.
  const auto first = step({3, -2, 0, 1e-12});
  const double kept = 1 - .01 * .1;
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(first[i] == doctest::Approx(kept - .01 * sign(std::array{3., -2., 0., 1.}[i])));
  // m = (1.5, -1, 0, 5e-13): .9 m + .1 g = (1.35 - 2, -.9 + .1, -.1, -.1).
  const auto second = step({-20, 1, -1, -1});
  for (std::size_t i = 0; i < 4; ++i) CHECK(second[i] == doctest::Approx(kept * first[i] + .01).epsilon(1e-14));
  CHECK_THROWS_AS(Lion({.beta1 = 1}), ValueError);
  CHECK_THROWS_AS(Lion({.weight_decay = -1}), ValueError);
}

TEST_CASE("optim: Lion over tensors of any size and layout equals plain loops") {
  Bag m;
  m.items.emplace_back(randn({70001}, 1), true);
  m.items.emplace_back(copy_of(randn({4, 3, 2, 5}, 2), true), true);
  m.items.emplace_back(randn({7}, 3), false);
  std::vector<std::vector<double>> expected, momentum;
  for (const Parameter& p : m.items) {
    expected.push_back(p.value.values());
    momentum.emplace_back(expected.back().size());
  }
  Lion lion({.beta1 = .8, .beta2 = .95, .weight_decay = .3});
  for (std::uint64_t t = 1; t <= 4; ++t) {
    std::vector<Tensor> grads;
    for (std::size_t i = 0; i < m.items.size(); ++i) {
      const Shape& shape = m.items[i].value.shape();
      grads.push_back(t == 2 ? spread_randn(shape, 10 * t + i) : randn(shape, 10 * t + i));
      const auto g = grads.back().values();
      for (std::size_t k = 0; k < g.size(); ++k) {
        const double decay = m.items[i].decays ? .3 : 0;
        expected[i][k] -= .02 * (sign(.8 * momentum[i][k] + .2 * g[k]) + decay * expected[i][k]);
        momentum[i][k] = .95 * momentum[i][k] + .05 * g[k];
      }
    }
    lion.step(parameters_of(m), grads, .02);
  }
  for (std::size_t i = 0; i < m.items.size(); ++i)
    CHECK(relative_error(m.items[i].value, Tensor::from(expected[i], m.items[i].value.shape(), DType::f64)) < 1e-14);
}

TEST_CASE("optim: Adafactor's first step on a gradient of rank one is its sign, times the scale of the weights") {
  // |g| = a b^T: the factors hold g^2 exactly, so U = g / |g|. RMS(p) = 2, the step is 2 min(.01, 1).
  Bag m;
  m.items.emplace_back(Tensor::full({2, 3}, 2, DType::f64));
  Adafactor adafactor({});
  const Tensor g = Tensor::from(std::vector<double>{1, -2, 4, -3, 6, 12}, {2, 3}, DType::f64);
  adafactor.step(parameters_of(m), std::span(&g, 1), .01);
  const auto p = m.items[0].value.values(), gradient = g.values();
  for (std::size_t i = 0; i < 6; ++i) CHECK(p[i] == doctest::Approx(2 - .02 * sign(gradient[i])).epsilon(1e-12));
  std::map<std::string, Shape> state;
  adafactor.visit_state([&](const std::string& name, Tensor& t) { state[name] = t.shape(); });
  CHECK(state.at("row/p0") == Shape{2, 1});
  CHECK(state.at("column/p0") == Shape{1, 3});
  CHECK(state.size() == 3);
}

TEST_CASE("optim: Adafactor equals its algorithm in plain loops, with and without each option") {
  const std::vector<AdafactorOptions> options{{},
                                              {.relative = false},
                                              {.beta1 = .9, .weight_decay = .1},
                                              {.decay = .5, .eps2 = 10, .threshold = .5},
                                              {.eps1 = 1e-2, .relative = false}};
  for (std::size_t which = 0; which < options.size(); ++which) {
    CAPTURE(which);
    Bag m;
    m.items.emplace_back(randn({5, 7}, 1));
    m.items.emplace_back(copy_of(randn({4, 3, 2, 5}, 2), true));  // a kernel: the first axis by all others
    m.items.emplace_back(randn({6}, 3));
    std::vector<PlainAdafactor> plain{{options[which], 5}, {options[which], 4}, {options[which], 0}};
    std::vector<std::vector<double>> expected;
    for (const Parameter& p : m.items) expected.push_back(p.value.values());
    Adafactor adafactor(options[which]);
    for (int t = 1; t <= 5; ++t) {
      std::vector<Tensor> grads;
      for (std::size_t i = 0; i < m.items.size(); ++i) {
        grads.push_back(randn(m.items[i].value.shape(), static_cast<std::uint64_t>(10 * t) + i));
        plain[i].step(expected[i], grads.back().values(), .6, t);
      }
      adafactor.step(parameters_of(m), grads, .6);  // from the third step on 1 / sqrt(t) is smaller
    }
    for (std::size_t i = 0; i < m.items.size(); ++i)
      CHECK(relative_error(m.items[i].value, Tensor::from(expected[i], m.items[i].value.shape(), DType::f64)) < 1e-12);
  }
  CHECK_THROWS_AS(Adafactor({.beta1 = 1}), ValueError);
  CHECK_THROWS_AS(Adafactor({.eps1 = 0}), ValueError);
}

TEST_CASE("optim: Adafactor is finite for gradients whose squares vanish in f32") {
  Bag m;
  m.items.emplace_back(Tensor::full({3, 4}, 1));
  Adafactor adafactor({});
  for (const double size : {0., 1e-30, 1e-12}) {
    const Tensor g = Tensor::full({3, 4}, size);
    adafactor.step(parameters_of(m), std::span(&g, 1), .01);
    for (const double v : m.items[0].value.values()) CHECK(std::isfinite(v));
  }
}

TEST_CASE("optim: split momentum with delta 0 is SGD on the sum, and another method otherwise") {
  const auto distance = [](double delta) {
    Bag split, plain;
    split.items.emplace_back(randn({9}, 1));
    split.items.emplace_back(randn({4}, 2), false);
    plain = split;
    SplitMomentum dot({.momentum = .9, .delta = delta, .weight_decay = .05});
    Sgd sgd({.momentum = .9, .weight_decay = .05});
    for (std::uint64_t t = 0; t < 20; ++t) {
      std::vector<Tensor> task, distil, both;
      for (std::uint64_t i = 0; i < 2; ++i) {
        task.push_back(randn(split.items[i].value.shape(), 10 * t + i));
        distil.push_back(randn(split.items[i].value.shape(), 10 * t + i + 5));
        both.push_back(task.back() + distil.back());
      }
      dot.step(parameters_of(split), task, distil, .02);
      sgd.step(parameters_of(plain), both, .02);
    }
    return relative_error(split.items[0].value, plain.items[0].value);
  };
  CHECK(distance(0) < 1e-14);
  CHECK(distance(.075) > 1e-2);
}

TEST_CASE("optim: split momentum follows its two recurrences, worked by hand") {
  // Momenta .5 and .7 + decay .1 on the task's side, p = 1, lr = .1:
  // t1: v = 2 + .1 = 2.1, u = 3, p = 1 - .51 = .49;  t2: v = .5*2.1 + 1 + .049 = 2.099, u = .7*3 - 1 = 1.1, p = .1701
  Bag m;
  m.items.emplace_back(Tensor::full({1}, 1, DType::f64));
  SplitMomentum dot({.momentum = .6, .delta = .1, .weight_decay = .1});
  const auto step = [&](double task, double distil) {
    const Tensor a = Tensor::full({1}, task, DType::f64), b = Tensor::full({1}, distil, DType::f64);
    dot.step(parameters_of(m), std::span(&a, 1), std::span(&b, 1), .1);
    return m.items[0].value.item();
  };
  CHECK(step(2, 3) == doctest::Approx(.49).epsilon(1e-14));
  CHECK(step(1, -1) == doctest::Approx(.1701).epsilon(1e-14));
}

TEST_CASE("optim: a parameter that one loss alone reaches takes plain SGD for every delta") {
  for (const bool task_reaches : {true, false}) {
    Bag split, plain;
    split.items.emplace_back(randn({9}, 1));
    plain = split;
    SplitMomentum dot({.momentum = .8, .delta = .15, .weight_decay = .05});
    Sgd sgd({.momentum = .8, .weight_decay = .05});
    for (std::uint64_t t = 0; t < 5; ++t) {
      const Tensor g = randn({9}, t), absent;
      dot.step(parameters_of(split), std::span(task_reaches ? &g : &absent, 1),
               std::span(task_reaches ? &absent : &g, 1), .02);
      sgd.step(parameters_of(plain), std::span(&g, 1), .02);
    }
    CHECK(split.items[0].value.values() == plain.items[0].value.values());
  }
  CHECK_THROWS_AS(SplitMomentum({.momentum = .9, .delta = .1}), ValueError);
  CHECK_THROWS_AS(SplitMomentum({.momentum = .1, .delta = .2}), ValueError);
}

TEST_CASE("optim: shadows follow the masters of Lion, Adafactor and split momentum too") {
  Lion lion({});
  Adafactor adafactor({});
  SplitMomentum dot({});
  for (Optimizer* o :
       {static_cast<Optimizer*>(&lion), static_cast<Optimizer*>(&adafactor), static_cast<Optimizer*>(&dot)}) {
    Bag m;
    m.items.emplace_back(copy_of(randn({8, 3, 3, 3}), true));
    m.items.emplace_back(randn({5}));
    convert(m, DType::f32);
    set_shadows(m, DType::bf16);
    for (std::uint64_t t = 0; t < 3; ++t) {
      std::vector<Tensor> grads;
      for (const Parameter& p : m.items) grads.push_back(cast(randn(p.value.shape(), t), DType::f32));
      o->step(parameters_of(m), grads, .01);
      for (const Parameter& p : m.items) CHECK(p.shadow.values() == cast(p.value, DType::bf16).values());
    }
  }
}
