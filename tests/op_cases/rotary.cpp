// tests/op_cases/rotary.cpp -- rotary position embedding.
#include "autograd/ops/rotary.h"

#include <cmath>
#include <complex>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor positions(std::vector<std::int64_t> v, const Shape& shape) { return Tensor::of<std::int64_t>(v, shape); }

/// Every pair as a complex number times e^{i t rate}.
Tensors turned(In in, const std::vector<double>& rates, RotaryPairs pairs) {
  auto v = in[0].values();
  const auto n = static_cast<std::size_t>(in[0].size(-1));
  Shape rows = in[0].shape();
  rows.erase(rows.rank() - 1);
  const auto t = in[1].view(broadcast_layout(in[1].layout(), rows)).values();
  for (std::size_t row = 0; row < t.size(); ++row)
    for (std::size_t i = 0; i < rates.size(); ++i) {
      const std::size_t first = row * n + (pairs == RotaryPairs::half ? i : 2 * i);
      const std::size_t second = pairs == RotaryPairs::half ? first + rates.size() : first + 1;
      const auto z = std::complex<double>(v[first], v[second]) * std::polar(1.0, t[row] * rates[i]);
      v[first] = z.real();
      v[second] = z.imag();
    }
  return {Tensor::from(v, in[0].shape(), DType::f64)};
}

Sample rotary_of(const Shape& shape, const Tensor& at, RotaryPairs pairs, double base = 10000) {
  std::vector<double> rates;
  const auto n = static_cast<double>(shape[shape.rank() - 1]);
  for (double i = 0; 2 * i < n; ++i) rates.push_back(std::pow(base, -2 * i / n));
  return {{randn(shape), at},
          [=](In in) { return Tensors{rotary(in[0], in[1], base, pairs)}; },
          [=](In in) { return turned(in, rates, pairs); }};
}

Sample rotary_by(const Shape& shape, const Tensor& at, RotaryPairs pairs, const std::vector<double>& rates) {
  return {{randn(shape), at},
          [=](In in) { return Tensors{rotary(in[0], in[1], rates, pairs)}; },
          [=](In in) { return turned(in, rates, pairs); }};
}
}  // namespace

OP_CASE(rotary) {
  c.order = 2;
  const Tensor three = positions({0, 1, 50000}, {3});
  c.samples = {rotary_of({3, 4}, three, RotaryPairs::half),
               rotary_of({3, 4}, three, RotaryPairs::interleaved, 500),
               rotary_of({2, 2, 3, 6}, three, RotaryPairs::half),
               rotary_of({2, 2, 3, 6}, positions({0, 1, 2, 7, 8, 9}, {2, 1, 3}), RotaryPairs::interleaved),
               rotary_of({2, 0, 4}, positions({}, {0}), RotaryPairs::half),
               rotary_of({8, 3, 2800}, three, RotaryPairs::half),
               rotary_by({2, 3, 7}, three, RotaryPairs::half, {0.7, -0.01}),
               rotary_by({2, 3, 4}, three, RotaryPairs::interleaved, {0.3, 1e-4}),
               rotary_by({3, 4}, three, RotaryPairs::interleaved, {0.3})};
  c.errors = {{"rotary: x must be [..., T, D] with D even",
               [] {
                 rotary(randn({3, 5}), positions({0, 1, 2}, {3}));
               }},
              {"rotary: 3 rates turn 6 features; got x",
               [] {
                 rotary(randn({3, 5}), positions({0, 1, 2}, {3}), {1, 2, 3});
               }},
              {"rotary: no rates",
               [] {
                 rotary(randn({3, 4}), positions({0, 1, 2}, {3}), std::vector<double>{});
               }},
              {"rotary: positions must be i64",
               [] {
                 rotary(randn({3, 4}), randn({3}));
               }},
              {"rotary: positions must broadcast to [3]", [] {
                 rotary(randn({3, 4}), positions({0, 1, 2, 0, 1, 2}, {2, 3}));
               }}};
}

TEST_CASE("rotary: scores depend on the distance of positions only") {
  const Tensor q = randn({1, 8}), k = randn({1, 8}, 2);
  for (const RotaryPairs pairs : {RotaryPairs::half, RotaryPairs::interleaved}) {
    const auto score = [&](std::int64_t i, std::int64_t j) {
      return sum(rotary(q, positions({i}, {1}), 100, pairs) * rotary(k, positions({j}, {1}), 100, pairs)).item();
    };
    CHECK(score(7, 3) == doctest::Approx(score(4, 0)).epsilon(1e-12));
    CHECK(std::abs(score(7, 3) - score(3, 7)) > 1e-3);
  }
}
