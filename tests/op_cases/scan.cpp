// tests/op_cases/scan.cpp -- running sums, products and recurrences against their definitions, element by element.
#include "autograd/ops/scan.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
using List = std::vector<double>;

/// Every line along `axis` of inputs of one shape goes to f, which returns the line of the result.
template <class F>
Tensors per_line(In in, int axis, F f) {
  const Shape& s = in[0].shape();
  std::int64_t inner = 1;
  for (int a = axis + 1; a < s.rank(); ++a) inner *= s[a];
  std::vector<List> x;
  for (const Tensor& t : in) x.push_back(t.values());
  List y = x[0];
  for (std::int64_t first = 0; first < s.product(); ++first) {
    if (first / inner % s[axis] != 0) continue;
    std::vector<List> line(in.size());
    for (std::size_t i = 0; i < in.size(); ++i)
      for (std::int64_t k = 0; k < s[axis]; ++k) line[i].push_back(x[i][static_cast<std::size_t>(first + k * inner)]);
    const List out = f(line);
    for (std::int64_t k = 0; k < s[axis]; ++k)
      y[static_cast<std::size_t>(first + k * inner)] = out[static_cast<std::size_t>(k)];
  }
  return {Tensor::from(y, s, DType::f64)};
}

/// Result k of a scan is `of` the elements up to k, or below k when exclusive.
template <class Of>
Function naive_scan(int axis, bool reverse, bool exclusive, Of of) {
  return [=](In in) {
    return per_line(in, axis, [&](std::vector<List> line) {
      if (reverse) std::reverse(line[0].begin(), line[0].end());
      List y;
      for (std::size_t k = 0; k < line[0].size(); ++k)
        y.push_back(of(List(line[0].begin(), line[0].begin() + static_cast<std::ptrdiff_t>(k + !exclusive))));
      if (reverse) std::reverse(y.begin(), y.end());
      return y;
    });
  };
}

using Scan = Tensor (*)(const Tensor&, int, bool, bool);
template <class Of>
Sample scan_sample(Scan f, Of of, const Tensor& x, int axis, bool reverse, bool exclusive) {
  return {{x},
          [=](In in) { return Tensors{f(in[0], axis, reverse, exclusive)}; },
          naive_scan(axis, reverse, exclusive, of),
          fmt::format("axis {} reverse {} exclusive {}", axis, reverse, exclusive)};
}

double sum_of(const List& v) {
  double s = 0;
  for (const double x : v) s += x;
  return s;
}
double product_of(const List& v) {
  double p = 1;
  for (const double x : v) p *= x;
  return p;
}
double log_sum_of(const List& v) {
  double top = -INFINITY, s = 0;
  for (const double x : v) top = std::max(top, x);
  for (const double x : v) s += std::exp(x - top);
  return top == -INFINITY ? top : top + std::log(s);
}
Tensor log_scan(const Tensor& x, int axis, bool reverse, bool) { return logcumsumexp(x, axis, reverse); }
}  // namespace

OP_CASE(cumsum) {
  c.order = 2;
  const auto sample = [](const Shape& shape, int axis, bool reverse, bool exclusive) {
    return scan_sample(cumsum, sum_of, randn(shape), axis, reverse, exclusive);
  };
  c.samples = {sample({3, 4}, 1, false, false),       sample({3, 4}, 0, true, true),
               sample({2, 3, 5, 7}, 1, false, false), sample({0, 4}, 1, false, false),
               sample({4, 0}, 1, false, true),        sample({7, 301}, 1, true, false),
               sample({5, 77}, 1, false, true),       sample({5, 77}, 1, true, true),
               sample({40, 67}, 0, true, true),       sample({220, 300}, 1, false, false)};
  c.errors = {{"cumsum: axis 2 is outside",
               [] {
                 cumsum(randn({2, 3}), 2);
               }},
              {"cumsum: input 0 must be a float tensor", [] {
                 cumsum(randint({2, 3}, 4), 1);
               }}};
}

OP_CASE(cumprod) {
  const auto sample = [](const Tensor& x, int axis, bool reverse, bool exclusive) {
    return scan_sample(cumprod, product_of, x, axis, reverse, exclusive);
  };
  const Tensor zeros = Tensor::from(List{2, 0, 3, 4, 1, 0, 0, 5, 0, 1, 2, 3}, {3, 4}, DType::f64);
  c.linear_order = true;
  c.samples = {sample(zeros, 1, false, false),
               sample(zeros, 1, true, false),
               sample(zeros, 1, false, true),
               sample(zeros, 0, true, true),
               sample(randn({2, 3, 2, 2}), 1, false, false),
               sample(randn({0, 4}), 1, false, false),
               sample(uniform({3, 70}, 0.9, 1.1), 1, true, true),
               sample(uniform({3, 70}, 0.9, 1.1), 1, false, false)};
  c.errors = {{"cumprod: axis 2 is outside", [] { cumprod(randn({2, 3}), 2); }}};
}

OP_CASE(logcumsumexp) {
  const auto sample = [](const Tensor& x, int axis, bool reverse) {
    return scan_sample(log_scan, log_sum_of, x, axis, reverse, false);
  };
  c.samples = {sample(randn({3, 4}), 1, false),          sample(randn({3, 4}), 0, true),
               sample(randn({2, 3, 5, 7}), 1, false),    sample(randn({0, 4}), 1, false),
               sample(randn({3, 70}) * 200.0, 1, false), sample(randn({220, 300}), 1, true)};
  c.errors = {{"logcumsumexp: axis 2 is outside", [] { logcumsumexp(randn({2, 3}), 2); }}};
}

OP_CASE(linear_recurrence) {
  const auto sample = [](const Shape& shape, int axis, bool reverse) {
    return Sample{{uniform(shape, -1, 1), randn(shape, 2)},
                  [=](In in) { return Tensors{linear_recurrence(in[0], in[1], axis, reverse)}; },
                  [=](In in) {
                    return per_line(in, axis, [&](const std::vector<List>& line) {
                      List h(line[0].size());
                      double state = 0;
                      for (std::size_t t = 0; t < h.size(); ++t) {
                        const std::size_t k = reverse ? h.size() - 1 - t : t;
                        h[k] = state = line[0][k] * state + line[1][k];
                      }
                      return h;
                    });
                  }};
  };
  c.samples = {sample({3, 4}, 1, false), sample({3, 4}, 0, true),    sample({2, 3, 5, 7}, 1, false),
               sample({0, 4}, 1, false), sample({40, 67}, 0, false), sample({67, 40}, 1, true)};
  c.errors = {{"linear_recurrence: factors and terms must have one shape", [] {
                 linear_recurrence(randn({2, 3}), randn({3}), 0);
               }}};
}

TEST_CASE("ops: logcumsumexp begins at -infinity without NaN, and its gradient there is 0") {
  Tape tape;
  const Tensor x = tape.watch(Tensor::from(List{-INFINITY, -INFINITY, 1, -INFINITY, 2}, {5}, DType::f64));
  const Tensor y = logcumsumexp(x, 0);
  CHECK(y.values()[1] == -INFINITY);
  CHECK(y.values()[3] == doctest::Approx(1));
  const Tensor g = tape.gradients(y.rank() == 1 ? sum(where(less(y, scalar_like(y, -1e9)), scalar_like(y, 0.0), y)) : y,
                                  std::span(&x, 1))[0];
  const double w = 1 / (1 + std::exp(1.0));
  CHECK(relative_error(g, Tensor::from(List{0, 0, 2 + w, 0, 1 - w}, {5}, DType::f64)) < 1e-14);
}

TEST_CASE("ops: a scan passes NaN and infinity on to later elements only") {
  const Tensor x = Tensor::from(List{1, 2, INFINITY, 3, NAN, 4}, {6});
  const auto y = cumsum(x, 0).values();
  CHECK(y[1] == 3);
  CHECK(y[3] == INFINITY);
  CHECK(std::isnan(y[4]));
  CHECK(std::isnan(y[5]));
  Tensor wide = Tensor::full({40}, 1.0);
  wide.mutable_data<float>()[20] = NAN;
  const auto z = cumprod(wide, 0, true).values();
  CHECK(z[21] == 1);
  CHECK(std::isnan(z[20]));
  CHECK(std::isnan(z[0]));
}
