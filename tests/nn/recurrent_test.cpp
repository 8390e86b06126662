// tests/nn/recurrent_test.cpp -- recurrent layers against loops over units, and their derivatives.
#include "nn/layers/recurrent.h"

#include <cmath>

#include "autograd/check_grads.h"
#include "autograd/ops/shape.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
double sigma(double x) { return 1 / (1 + std::exp(-x)); }

/// What the linear maps of one cell give for gate `g` of unit `u`: w x + b.
struct Weights {
  std::vector<double> w, b;
  double operator()(std::size_t row, const std::vector<double>& x) const {
    double s = b.empty() ? 0 : b[row];
    for (std::size_t i = 0; i < x.size(); ++i) s += w[row * x.size() + i] * x[i];
    return s;
  }
};
Weights weights(const Parameter& w, const Parameter& b) {
  return {w.value.values(), b.value.defined() ? b.value.values() : std::vector<double>()};
}

/// One step of one sample; c stays empty for a GRU.
void naive_step(const LstmCell& cell, const std::vector<double>& x, std::vector<double>& h, std::vector<double>& c) {
  const Weights from_x = weights(cell.weight_ih, cell.bias_ih), from_h = weights(cell.weight_hh, cell.bias_hh);
  const std::vector<double> before = h;
  const std::size_t n = h.size();
  for (std::size_t u = 0; u < n; ++u) {
    const auto gate = [&](std::size_t g) { return from_x(g * n + u, x) + from_h(g * n + u, before); };
    c[u] = sigma(gate(1)) * c[u] + sigma(gate(0)) * std::tanh(gate(2));
    h[u] = sigma(gate(3)) * std::tanh(c[u]);
  }
}
void naive_step(const GruCell& cell, const std::vector<double>& x, std::vector<double>& h, std::vector<double>&) {
  const Weights from_x = weights(cell.weight_ih, cell.bias_ih), from_h = weights(cell.weight_hh, cell.bias_hh);
  const std::vector<double> before = h;
  const std::size_t n = h.size();
  for (std::size_t u = 0; u < n; ++u) {
    const auto gate = [&](std::size_t g) { return sigma(from_x(g * n + u, x) + from_h(g * n + u, before)); };
    const double candidate = std::tanh(from_x(2 * n + u, x) + gate(0) * from_h(2 * n + u, before));
    h[u] = (1 - gate(1)) * candidate + gate(1) * before[u];
  }
}

/// Sequences [n, t, in] through one cell.
template <class Cell>
Tensor naive_run(const Cell& cell, const Tensor& x, bool reverse) {
  const auto n = x.size(0), t = x.size(1), in = x.size(2), width = cell.hidden;
  const auto v = x.values();
  std::vector<double> out(static_cast<std::size_t>(n * t * width));
  for (std::int64_t s = 0; s < n; ++s) {
    std::vector<double> h(static_cast<std::size_t>(width), 0.0), c = h;
    for (std::int64_t i = 0; i < t; ++i) {
      const std::int64_t at = s * t + (reverse ? t - 1 - i : i);
      naive_step(cell, {v.begin() + at * in, v.begin() + (at + 1) * in}, h, c);
      std::copy(h.begin(), h.end(), out.begin() + at * width);
    }
  }
  return Tensor::from(out, {n, t, width}, DType::f64);
}

template <class Net>
Net filled(std::int64_t in, std::int64_t hidden, const RecurrentOptions& options) {
  Net net(in, hidden, options);
  convert(net, DType::f64);
  initialize(net, Rng(3));
  return net;
}

template <class Net>
void check_against_loops() {
  for (const bool bidirectional : {false, true})
    for (const bool bias : {false, true}) {
      const Net net = filled<Net>(3, 4, {.layers = 2, .bidirectional = bidirectional, .bias = bias});
      const Tensor x = randn({2, 5, 3});
      Ctx ctx;
      const auto result = net(x, ctx);
      Tensor want = x;
      for (std::size_t k = 0; k < 2; ++k) {
        const Tensor ahead = naive_run(net.forward[k], want, false);
        want = bidirectional ? concat(std::array{ahead, naive_run(net.backward[k], want, true)}, -1) : ahead;
      }
      CHECK(relative_error(result.out, want) < 1e-14);
      REQUIRE(result.last.size() == (bidirectional ? 4 : 2));
      CHECK(relative_error(result.last[bidirectional ? 2 : 1].h, select(slice(want, -1, 0, 4), 1, 4)) < 1e-14);
      // Two halves, the state handed over, are one whole.
      if (bidirectional) continue;
      const auto head = net(slice(x, 1, 0, 2), ctx);
      CHECK(relative_error(net(slice(x, 1, 2), ctx, head.last).out, slice(want, 1, 2)) < 1e-14);
    }
}

template <class Net>
void check_derivatives() {
  Net net = filled<Net>(2, 2, {.layers = 1, .bidirectional = true});
  const auto parameters = parameters_of(net);
  Tensors in{randn({2, 3, 2})};
  for (const NamedParameter& p : parameters) in.push_back(p.parameter->value);
  const auto f = [&](std::span<const Tensor> values) {
    ParamValues substitute;
    for (std::size_t i = 0; i < parameters.size(); ++i) substitute[parameters[i].parameter] = values[i + 1];
    Ctx ctx;
    ctx.substitute = &substitute;
    return Tensors{net(values[0], ctx).out};
  };
  CHECK(check_grads(f, in) == "");
}
}  // namespace

TEST_CASE("nn: recurrent layers equal loops over their units") {
  check_against_loops<Lstm>();
  check_against_loops<Gru>();
}

TEST_CASE("nn: recurrent layers have derivatives in inputs and parameters to second order") {
  check_derivatives<Lstm>();
  check_derivatives<Gru>();
}

TEST_CASE("nn: recurrent parameters are named by direction and layer, and misfits are refused") {
  Lstm net(3, 4, {.layers = 2, .bidirectional = true});
  CHECK(parameters_of(net).front().name == "forward.0.weight_ih");
  CHECK(parameters_of(net).back().name == "backward.1.bias_hh");
  CHECK(net.forward[1].weight_ih.value.shape() == Shape{16, 8});
  Ctx ctx;
  CHECK_THROWS_WITH_AS(net(randn({2, 3}), ctx), doctest::Contains("needs sequences [n, t >= 1, in]"), ShapeError);
  CHECK_THROWS_AS(net(randn({2, 0, 3}), ctx), ShapeError);
  CHECK_THROWS_WITH_AS(net(randn({2, 1, 3}), ctx, {{}}), doctest::Contains("needs 4 first states"), ShapeError);
  CHECK_THROWS_AS(Gru(3, 4, {.layers = 0}), ValueError);
}
