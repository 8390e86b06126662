// tests/nn/optim_test.cpp -- optimisers against closed recurrences and plain loops; clipping; averages.
#include "nn/ema.h"
#include "nn/optim/adam.h"
#include "nn/optim/clip.h"
#include "nn/optim/sgd.h"
#include "tensor/write.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// One scalar parameter in f64.
struct Scalar : Bag {
  explicit Scalar(double value, bool decays = true) {
    items.emplace_back(Tensor::full({1}, value, DType::f64), decays);
  }
  double step(Optimizer& o, double gradient, double lr) {
    const Tensor g = Tensor::full({1}, gradient, DType::f64);
    o.step(parameters_of(*this), std::span(&g, 1), lr);
    return items[0].value.item();
  }
};

/// One element's recurrence: p, two states, gradient, whether it decays, number of the update from 1.
using Rule = std::function<void(double& p, double& a, double& b, double g, bool decays, int t)>;

/// Runs three updates on tensors of several sizes and layouts, and the same by `rule`; f64, relative 1e-14.
void against_loops(Optimizer& o, const Rule& rule, double lr) {
  Bag m;
  m.items.emplace_back(randn({70001}, 1), true);
  m.items.emplace_back(copy_of(randn({4, 3, 2, 5}, 2), true), true);
  m.items.emplace_back(randn({7}, 3), false);
  m.items.emplace_back(Tensor::zeros({0, 3}, DType::f64), true);
  std::vector<std::vector<double>> expected, first, second;
  for (const Parameter& p : m.items) {
    expected.push_back(p.value.values());
    first.emplace_back(expected.back().size());
    second.emplace_back(expected.back().size());
  }
  for (int t = 1; t <= 3; ++t) {
    std::vector<Tensor> grads;
    for (std::size_t i = 0; i < m.items.size(); ++i) {
      const Shape& shape = m.items[i].value.shape();
      const auto seed = static_cast<std::uint64_t>(10 * t) + i;
      grads.push_back(t == 2 ? spread_randn(shape, seed) : randn(shape, seed));
      const std::vector<double> g = grads.back().values();
      for (std::size_t k = 0; k < g.size(); ++k)
        rule(expected[i][k], first[i][k], second[i][k], g[k], m.items[i].decays, t);
    }
    o.step(parameters_of(m), grads, lr);
  }
  for (std::size_t i = 0; i < m.items.size(); ++i) {
    const Tensor want = Tensor::from(expected[i], m.items[i].value.shape(), DType::f64);
    CHECK(relative_error(m.items[i].value, want) < 1e-14);
  }
}
}  // namespace

TEST_CASE("optim: sgd follows its recurrence worked by hand") {
  SUBCASE("plain") {
    Scalar m(1.0);
    Sgd sgd({});
    CHECK(m.step(sgd, 0.5, 0.1) == doctest::Approx(0.95).epsilon(1e-15));
    CHECK(m.step(sgd, -1.0, 0.2) == doctest::Approx(1.15).epsilon(1e-15));
  }
  SUBCASE("momentum and coupled decay") {
    // d1 = 2 + .1*1 = 2.1, v1 = 2.1, p1 = 1 - .1*2.1 = .79
    // d2 = 1 + .079 = 1.079, v2 = .9*2.1 + 1.079 = 2.969, p2 = .79 - .2969 = .4931
    Scalar m(1.0);
    Sgd sgd({.momentum = 0.9, .weight_decay = 0.1});
    CHECK(m.step(sgd, 2, 0.1) == doctest::Approx(0.79).epsilon(1e-15));
    CHECK(m.step(sgd, 1, 0.1) == doctest::Approx(0.4931).epsilon(1e-15));
  }
  SUBCASE("nesterov") {
    // v1 = 2, p1 = 1 - .1 (2 + .9*2) = .62;  v2 = 2.8, p2 = .62 - .1 (1 + .9*2.8) = .268
    Scalar m(1.0);
    Sgd sgd({.momentum = 0.9, .nesterov = true});
    CHECK(m.step(sgd, 2, 0.1) == doctest::Approx(0.62).epsilon(1e-15));
    CHECK(m.step(sgd, 1, 0.1) == doctest::Approx(0.268).epsilon(1e-15));
  }
}

TEST_CASE("optim: adam's first step is lr in the gradient's direction, and its second is worked by hand") {
  Scalar m(1.0);
  Adam adam({.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-12});
  CHECK(m.step(adam, 4, 0.1) == doctest::Approx(0.9).epsilon(1e-12));
  // m2 = .09*4 + .1*(-2) = .16, / (1 - .81) = .842105..; v2 = .0099*16 + .01*4 = .1984, / (1 - .9801) = 9.969849..
  CHECK(m.step(adam, -2, 0.1) ==
        doctest::Approx(0.9 - 0.1 * (0.16 / 0.19) / std::sqrt(0.1984 / 0.0199)).epsilon(1e-12));
}

TEST_CASE("optim: weight decay is decoupled in AdamW, coupled in Adam, and spares parameters that do not decay") {
  const AdamOptions options{.weight_decay = 0.5};
  Scalar decoupled(2.0), coupled(2.0), spared(2.0, false);
  AdamW adamw(options);
  Adam adam(options);
  AdamW adamw_spared(options);
  CHECK(decoupled.step(adamw, 0, 0.1) == doctest::Approx(1.9).epsilon(1e-15));  // p (1 - .1*.5)
  CHECK(coupled.step(adam, 0, 0.1) == doctest::Approx(1.9).epsilon(1e-7));      // p - .1 sign(.5*2)
  CHECK(coupled.step(adam, 0, 0.1) < 1.85);
  CHECK(spared.step(adamw_spared, 0, 0.1) == 2.0);
  Sgd sgd({.weight_decay = 0.5});
  Scalar spared_by_sgd(2.0, false);
  CHECK(spared_by_sgd.step(sgd, 0, 0.1) == 2.0);
}

TEST_CASE("optim: steps over tensors of any size and layout equal plain loops") {
  constexpr double lr = 0.03, wd = 0.02;
  SUBCASE("sgd") {
    Sgd o({.weight_decay = wd});
    against_loops(
        o, [](double& p, double&, double&, double g, bool decays, int) { p -= lr * (g + (decays ? wd : 0) * p); }, lr);
  }
  SUBCASE("sgd with nesterov") {
    Sgd o({.momentum = 0.8, .nesterov = true, .weight_decay = wd});
    const Rule rule = [](double& p, double& v, double&, double g, bool decays, int) {
      const double d = g + (decays ? wd : 0) * p;
      v = 0.8 * v + d;
      p -= lr * (d + 0.8 * v);
    };
    against_loops(o, rule, lr);
  }
  const auto adam_rule = [](bool decoupled) -> Rule {
    return [decoupled](double& p, double& m, double& v, double g, bool decays, int t) {
      if (decays && decoupled) p -= lr * wd * p;
      if (decays && !decoupled) g += wd * p;
      m = 0.7 * m + 0.3 * g;
      v = 0.9 * v + 0.1 * g * g;
      p -= lr * (m / (1 - std::pow(0.7, t))) / (std::sqrt(v / (1 - std::pow(0.9, t))) + 1e-3);
    };
  };
  const AdamOptions options{.beta1 = 0.7, .beta2 = 0.9, .eps = 1e-3, .weight_decay = wd};
  SUBCASE("adam") {
    Adam o(options);
    against_loops(o, adam_rule(false), lr);
  }
  SUBCASE("adamw") {
    AdamW o(options);
    against_loops(o, adam_rule(true), lr);
  }
}

TEST_CASE("optim: after each step the 16-bit shadow is the rounded master") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Bag m;
    m.items.emplace_back(copy_of(randn({8, 3, 3, 3}), true));
    m.items.emplace_back(randn({40000}));
    m.items.emplace_back(randn({5}));
    m.items[2].master_only = true;
    convert(m, DType::f32);
    set_shadows(m, dtype);
    CHECK_FALSE(m.items[2].shadow.defined());
    Sgd sgd({.momentum = 0.9});
    AdamW adamw({});
    for (Optimizer* o : {static_cast<Optimizer*>(&sgd), static_cast<Optimizer*>(&adamw)})
      for (int t = 0; t < 3; ++t) {
        std::vector<Tensor> grads;
        for (const Parameter& p : m.items) {
          grads.push_back(Tensor::empty(p.value.shape(), DType::f32));
          assign_(grads.back(), randn(p.value.shape(), static_cast<std::uint64_t>(t)));
        }
        o->step(parameters_of(m), grads, 0.01);
        for (const Parameter& p : m.items) {
          if (!p.shadow.defined()) continue;
          const Tensor rounded = Tensor::empty(p.value.shape(), dtype);
          assign_(rounded, p.value);
          CHECK(p.shadow.values() == rounded.values());
        }
      }
  }
}

TEST_CASE("optim: state has names, survives a copy into another optimiser, and misfits are named") {
  const auto run = [](AdamW& o, Bag& m, int steps) {
    for (int t = 0; t < steps; ++t) {
      const Tensor g = randn({6}, static_cast<std::uint64_t>(t));
      o.step(parameters_of(m), std::span(&g, 1), 0.1);
    }
  };
  Bag m, other;
  m.items.emplace_back(randn({6}));
  AdamW first({});
  CHECK_THROWS_WITH_AS(first.visit_state([](auto&, auto&) {}), doctest::Contains("prepare"), ValueError);
  run(first, m, 3);
  other = m;
  AdamW second({});
  second.prepare(parameters_of(other));
  std::map<std::string, Tensor> saved;
  first.visit_state([&](const std::string& name, Tensor& t) { saved[name] = copy_of(t); });
  CHECK(saved.size() == 3);
  CHECK(saved.at("step").item() == 3);
  CHECK(saved.count("m/p0") == 1);
  CHECK(saved.count("v/p0") == 1);
  second.visit_state([&](const std::string& name, Tensor& t) { assign_(t, saved.at(name)); });
  run(first, m, 2);
  run(second, other, 2);
  CHECK(m.items[0].value.values() == other.items[0].value.values());

  const Tensor wrong = randn({5});
  CHECK_THROWS_WITH_AS(first.step(parameters_of(m), std::span(&wrong, 1), 0.1), doctest::Contains("p0"), ShapeError);
  const Tensor g = randn({6});
  const std::vector<double> before = m.items[0].value.values();
  m.items[0].trainable = false;
  first.step(parameters_of(m), std::span(&g, 1), 0.1);
  CHECK(m.items[0].value.values() == before);
  CHECK_THROWS_AS(Sgd({.nesterov = true}), ValueError);
  CHECK_THROWS_AS(Adam({.beta1 = 1}), ValueError);
}

TEST_CASE("optim: clipping scales to the norm over all gradients, and leaves small and non-finite ones alone") {
  const auto norm_of = [](const std::vector<Tensor>& grads) {
    double sum = 0;
    for (const Tensor& g : grads)
      for (const double v : g.values()) sum += v * v;
    return std::sqrt(sum);
  };
  std::vector<Tensor> grads = {randn({100003}), copy_of(randn({3, 5, 2, 2}), true), Tensor::scalar(2, DType::f64)};
  const double norm = norm_of(grads);
  CHECK(grad_norm(grads) == doctest::Approx(norm).epsilon(1e-13));
  CHECK(clip_grad_norm(grads, 1e9) == doctest::Approx(norm).epsilon(1e-13));
  CHECK(norm_of(grads) == norm);
  CHECK(clip_grad_norm(grads, 0.5) == doctest::Approx(norm).epsilon(1e-13));
  CHECK(norm_of(grads) == doctest::Approx(0.5).epsilon(1e-13));
  grads.push_back(Tensor::scalar(std::numeric_limits<double>::infinity(), DType::f64));
  const std::vector<double> before = grads[0].values();
  CHECK_FALSE(std::isfinite(clip_grad_norm(grads, 0.1)));
  CHECK(grads[0].values() == before);
  CHECK_THROWS_AS(clip_grad_norm(grads, 0), ValueError);
}

TEST_CASE("ema: a constant decay gives the geometric sum, buffers included; integers are copied") {
  struct Net : Bag {
    Buffer mean, count;
    void visit(Visitor& v) override {
      Bag::visit(v);
      v("mean", mean);
      v("count", count);
    }
  } source;
  source.items.emplace_back(Tensor::full({3}, 2, DType::f64));
  source.mean = Buffer(Tensor::full({2}, 4, DType::f64));
  source.count = Buffer(Tensor::zeros({}, DType::i64));
  Net average = source;
  fill_(average.items[0].value, 0);
  fill_(average.mean.value, 0);
  fill_(source.count.value, 7);
  for (int t = 0; t < 5; ++t) ema_update(average, source, 0.9);
  const double share = 1 - std::pow(0.9, 5);
  CHECK(average.items[0].value.values()[2] == doctest::Approx(2 * share).epsilon(1e-14));
  CHECK(average.mean.value.values()[1] == doctest::Approx(4 * share).epsilon(1e-14));
  CHECK(average.count.value.item() == 7);
  CHECK(source.items[0].value.values()[0] == 2);
  Bag different;
  CHECK_THROWS_AS(ema_update(different, source, 0.9), ShapeError);
}

TEST_CASE("ema: decay laws have their closed forms, and shadows of the average follow it") {
  CHECK(EmaDecay::constant(0.99).at(5, 100) == 0.99);
  // A half-life does not notice how samples are cut into updates.
  const EmaDecay half = EmaDecay::half_life(1000);
  CHECK(half.at(1, 1000) == 0.5);
  CHECK(std::pow(half.at(1, 50), 20) == doctest::Approx(0.5).epsilon(1e-14));
  // power(0): the average of t values is their mean.
  Scalar average(0);
  double sum = 0;
  for (int t = 1; t <= 6; ++t) {
    Scalar source(t * t);
    sum += t * t;
    ema_update(average, source, EmaDecay::power(0).at(t, 1));
  }
  CHECK(average.items[0].value.item() == doctest::Approx(sum / 6).epsilon(1e-14));
  CHECK(EmaDecay::power(2).at(4, 1) == doctest::Approx(std::pow(0.75, 3)).epsilon(1e-15));
  CHECK_THROWS_AS(EmaDecay::constant(1.5).at(1, 1), ValueError);

  Bag source, low;
  source.items.emplace_back(Tensor::full({3}, 1.2345));
  low = source;
  fill_(low.items[0].value, 1);
  set_shadows(low, DType::bf16);
  ema_update(low, source, 0.5);
  CHECK(low.items[0].shadow.values()[0] == static_cast<double>(BFloat16(low.items[0].value.values<float>()[0])));
}
