// tests/op_cases/elementwise.cpp -- functions of one tensor, against the C library in f64.
#include "autograd/ops/elementwise.h"

#include <cmath>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// A smooth function on samples in [low, high]: derivatives to third order, odd lengths, one beyond 64 k elements.
void smooth(OpCase& c, Tensor (*f)(const Tensor&), double (*reference)(double), double low, double high) {
  c.fn = [f](In in) { return Tensors{f(in[0])}; };
  c.naive = per_element(reference);
  c.samples = {{{uniform({2, 3}, low, high)}},       {{uniform({}, low, high)}},      {{uniform({0, 4}, low, high)}},
               {{uniform({2, 3, 5, 7}, low, high)}}, {{uniform({70001}, low, high)}}, {{uniform({33}, low, high)}}};
  c.errors = {{c.name + ": input 0 must be a float tensor; got i64[2] on cpu", [f] { f(randint({2}, 5)); }}};
}
/// As smooth, with kinks: samples keep away from them by more than a finite difference reaches.
void kinked(OpCase& c, Tensor (*f)(const Tensor&), double (*reference)(double), const std::vector<double>& kinks) {
  smooth(c, f, reference, -3, 3);
  for (Sample& s : c.samples) {
    std::vector<double> v = s.in[0].values();
    for (double& x : v)
      for (const double kink : kinks)
        if (std::abs(x - kink) < 1e-3) x = kink + 2e-3;
    s.in[0] = Tensor::from(v, s.in[0].shape(), DType::f64);
  }
}
/// A step function: values only, at samples that include ties, signed zeros and infinities.
void steps(OpCase& c, Tensor (*f)(const Tensor&), double (*reference)(double)) {
  smooth(c, f, reference, -3.0, 3.0);
  c.order = 0;
  const std::vector<double> special = {0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, INFINITY, -INFINITY, 7.0};
  c.samples.push_back({{Tensor::from(special, {3, 4}, DType::f64)}});
}
}  // namespace

OP_CASE(exp) { smooth(c, exp, std::exp, -2, 2); }
OP_CASE(expm1) { smooth(c, expm1, std::expm1, -2, 2); }
OP_CASE(log) { smooth(c, log, std::log, 0.5, 3); }
OP_CASE(log1p) { smooth(c, log1p, std::log1p, -0.5, 3); }
OP_CASE(sqrt) { smooth(c, sqrt, std::sqrt, 0.5, 3); }
OP_CASE(rsqrt) {
  smooth(
      c, rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.5, 3);
}
OP_CASE(square) {
  smooth(
      c, square, [](double x) { return x * x; }, -2, 2);
}
OP_CASE(reciprocal) {
  smooth(
      c, reciprocal, [](double x) { return 1 / x; }, 0.5, 3);
}
OP_CASE(sin) { smooth(c, sin, std::sin, -4, 4); }
OP_CASE(cos) { smooth(c, cos, std::cos, -4, 4); }
OP_CASE(tanh) {
  c.covers = {"tanh", "tanh_backward"};
  smooth(c, tanh, std::tanh, -2, 2);
}
OP_CASE(sigmoid) {
  c.covers = {"sigmoid", "sigmoid_backward"};
  smooth(
      c, sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, -4, 4);
}
OP_CASE(erf) { smooth(c, erf, std::erf, -2, 2); }
OP_CASE(silu) {
  c.covers = {"silu", "silu_backward", "silu_slope"};
  smooth(
      c, silu, [](double x) { return x / (1 + std::exp(-x)); }, -4, 4);
}
OP_CASE(softplus) {
  smooth(
      c, softplus, [](double x) { return std::log(1 + std::exp(x)); }, -4, 4);
}
OP_CASE(mish) {
  smooth(
      c, mish, [](double x) { return x * std::tanh(std::log(1 + std::exp(x))); }, -4, 4);
}
OP_CASE(gelu) {
  c.covers = {"gelu", "gelu_backward", "gelu_slope"};
  smooth(
      c, gelu, [](double x) { return x * 0.5 * std::erfc(-x / std::numbers::sqrt2); }, -3, 3);
}
OP_CASE(gelu_tanh) {
  c.covers = {"gelu_tanh", "gelu_tanh_backward", "gelu_tanh_slope"};
  smooth(
      c, gelu_tanh,
      [](double x) {
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * std::pow(x, 3))));
      },
      -3, 3);
}

OP_CASE(relu) {
  c.covers = {"relu", "relu_backward"};
  kinked(c, relu, [](double x) { return std::max(x, 0.0); }, {0});
}
OP_CASE(leaky_relu) {
  kinked(
      c, [](const Tensor& x) { return leaky_relu(x, 0.25); }, [](double x) { return x > 0 ? x : 0.25 * x; }, {0});
}
OP_CASE(abs) { kinked(c, abs, std::abs, {0}); }
OP_CASE(sign) {
  steps(c, sign, [](double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; });
}
OP_CASE(floor) { steps(c, floor, std::floor); }
OP_CASE(round) { steps(c, round, std::nearbyint); }

OP_CASE(clamp) {
  kinked(
      c, [](const Tensor& x) { return clamp(x, -1, 0.5); }, [](double x) { return std::clamp(x, -1.0, 0.5); },
      {-1, 0.5});
  c.errors.push_back({"clamp: needs low <= high; got 1 and 0", [] { clamp(randn({2}), 1, 0); }});
}
OP_CASE(isnan) {
  steps(c, isnan, [](double x) { return double(std::isnan(x)); });
  c.samples.push_back({{Tensor::from(std::vector<double>{NAN, 1, -NAN, INFINITY}, {4}, DType::f64)}});
}
OP_CASE(isfinite) {
  steps(c, isfinite, [](double x) { return double(std::isfinite(x)); });
  c.samples.push_back({{Tensor::from(std::vector<double>{NAN, 1, -NAN, INFINITY}, {4}, DType::f64)}});
}
