// tests/op_cases/softmax.cpp -- softmax and log_softmax.
#include <cmath>

#include "autograd/ops/nn.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
const double kInf = std::numeric_limits<double>::infinity();

/// Runs f on every row along `axis` of a row-major copy.
Function along_axis(int axis, std::function<void(std::vector<double>&)> f) {
  return [axis, f](In in) {
    std::vector<double> v = in[0].values();
    const Shape& shape = in[0].shape();
    const auto n = static_cast<std::size_t>(shape[axis]);
    const auto stride = static_cast<std::size_t>(contiguous_strides(shape)[axis]);
    for (std::size_t first = 0; first < v.size(); ++first) {
      if (first / stride % n != 0) continue;
      std::vector<double> row(n);
      for (std::size_t i = 0; i < n; ++i) row[i] = v[first + i * stride];
      f(row);
      for (std::size_t i = 0; i < n; ++i) v[first + i * stride] = row[i];
    }
    return Tensors{Tensor::from(v, shape, DType::f64)};
  };
}

/// exp(x_i) / sum_j exp(x_j), every quotient written as a sum of exponentials of differences.
void naive_softmax(std::vector<double>& row) {
  const std::vector<double> x = row;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double total = 0;
    for (double other : x) total += other == -kInf ? 0.0 : std::exp(other - x[i]);
    row[i] = x[i] == -kInf ? 0.0 : 1.0 / total;
  }
}
void naive_log_softmax(std::vector<double>& row) {
  const std::vector<double> x = row;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double total = 0;
    for (double other : x) total += other == -kInf ? 0.0 : std::exp(other - x[i]);
    row[i] = x[i] == -kInf ? -kInf : -std::log(total);
  }
}

Sample softmax_of(const Tensor& x, int axis) {
  return {{x},
          [axis](In in) { return Tensors{softmax(in[0], axis)}; },
          along_axis(axis < 0 ? axis + x.rank() : axis, naive_softmax)};
}
Sample log_softmax_of(const Tensor& x, int axis) {
  return {{x},
          [axis](In in) { return Tensors{log_softmax(in[0], axis)}; },
          along_axis(axis < 0 ? axis + x.rank() : axis, naive_log_softmax)};
}
Tensor f64(std::vector<double> v, const Shape& shape) { return Tensor::from(v, shape, DType::f64); }
}  // namespace

OP_CASE(softmax) {
  c.covers = {"softmax", "softmax_backward"};
  c.samples = {softmax_of(randn({2, 5}), -1),
               softmax_of(randn({3, 4, 5}), 1),
               softmax_of(randn({2, 3, 5, 7}), 1),
               softmax_of(randn({0, 4}), 1),
               softmax_of(randn({4, 0}), 1),
               softmax_of(randn({1}), 0),
               softmax_of(f64({3e4, -2e4, 3e4 - 1, -3e4}, {1, 4}), 1),
               softmax_of(f64({1, -kInf, 2, -kInf, -kInf, -kInf}, {2, 3}), 1),
               softmax_of(randn({67, 1031}), -1)};
  c.errors = {{"softmax: axis 2 is outside a tensor of rank 2",
               [] {
                 softmax(randn({2, 3}), 2);
               }},
              {"softmax: input 0 must be a float tensor", [] {
                 softmax(randint({2, 3}, 5));
               }}};
}

OP_CASE(log_softmax) {
  c.covers = {"log_softmax", "log_softmax_backward"};
  c.samples = {log_softmax_of(randn({2, 5}), -1),
               log_softmax_of(randn({3, 4, 5}), 0),
               log_softmax_of(randn({2, 3, 5, 7}), 1),
               log_softmax_of(randn({4, 0}), 1),
               log_softmax_of(f64({300, -300, 299, -299}, {1, 4}), 1),
               log_softmax_of(randn({67, 1031}), -1)};
  c.errors = {{"log_softmax: axis -3 is outside a tensor of rank 2", [] { log_softmax(randn({2, 3}), -3); }}};
}

TEST_CASE("softmax: entries of -infinity are outside the distribution, NaN is not hidden") {
  const Tensor x = f64({0, -kInf, std::log(3.0), -kInf, -kInf, -kInf, 0, NAN, 1}, {3, 3});
  const auto p = softmax(x).values(), l = log_softmax(x).values();
  CHECK(p[0] == doctest::Approx(0.25));
  CHECK(p[1] == 0);
  CHECK(p[3] + p[4] + p[5] == 0);
  CHECK(std::isnan(p[6]));
  CHECK(std::isnan(p[8]));
  CHECK(l[1] == -kInf);
  CHECK(log_softmax(f64({1e5, -1e5}, {2})).values() == std::vector<double>{0, -2e5});
  CHECK(l[4] == -kInf);
  CHECK(std::isnan(l[8]));
}
