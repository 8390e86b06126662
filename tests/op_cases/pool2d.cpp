// tests/op_cases/pool2d.cpp -- max and average pooling and their adjoints, window by window.
#include <algorithm>

#include "autograd/ops/pool.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Pools every window of an NCHW image with f(values inside the image).
Function naive_pool(Pool2dOptions o, std::function<double(const std::vector<double>&)> f) {
  return [o, f](In in) {
    const Shape& s = in[0].shape();
    const std::int64_t stride = o.stride ? o.stride : o.kernel;
    const Shape out{s[0], s[1], (s[2] + 2 * o.padding - o.kernel) / stride + 1,
                    (s[3] + 2 * o.padding - o.kernel) / stride + 1};
    const auto x = in[0].values();
    std::vector<double> y;
    for (std::int64_t plane = 0; plane < s[0] * s[1]; ++plane)
      for (std::int64_t i = 0; i < out[2]; ++i)
        for (std::int64_t j = 0; j < out[3]; ++j) {
          std::vector<double> seen;
          for (std::int64_t p = 0; p < o.kernel; ++p)
            for (std::int64_t q = 0; q < o.kernel; ++q) {
              const std::int64_t h = i * stride + p - o.padding, w = j * stride + q - o.padding;
              if (h < 0 || w < 0 || h >= s[2] || w >= s[3]) continue;
              seen.push_back(x[static_cast<std::size_t>((plane * s[2] + h) * s[3] + w)]);
            }
          y.push_back(f(seen));
        }
    return Tensors{Tensor::from(y, out, DType::f64)};
  };
}

/// The numbers 0, 1, .. in scrambled order, 1e-3 apart: no two maxima come within reach of a finite difference.
Tensor scrambled(const Shape& shape) {
  const auto n = static_cast<std::size_t>(shape.product());
  std::vector<double> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = 1e-3 * static_cast<double>(i * 48271 % n) - 1;  // 48271 is prime
  return Tensor::from(v, shape, DType::f64);
}

Sample largest(const Shape& x, Pool2dOptions o) {
  return {{scrambled(x)},
          [o](In in) { return Tensors{max_pool2d(in[0], o)}; },
          naive_pool(o, [](const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }),
          x.str()};
}

Sample average(const Shape& x, Pool2dOptions o) {
  return {{randn(x)},
          [o](In in) { return Tensors{avg_pool2d(in[0], o)}; },
          naive_pool(o,
                     [o](const std::vector<double>& v) {
                       double total = 0;
                       for (const double value : v) total += value;
                       const double all = static_cast<double>(o.kernel * o.kernel);
                       return total / (o.count_include_pad ? all : static_cast<double>(v.size()));
                     }),
          x.str()};
}
}  // namespace

OP_CASE(max_pool2d) {
  c.covers = {"max_pool2d", "max_pool2d_grad", "max_pool2d_gather"};
  c.samples = {largest({2, 3, 5, 4}, {3, 2, 1}),   largest({1, 2, 6, 6}, {}),     largest({2, 1, 7, 5}, {3, 1, 1}),
               largest({3, 131, 5, 3}, {2, 1}),    largest({1, 2, 9, 7}, {2, 3}), largest({0, 2, 5, 5}, {}),
               largest({2, 0, 4, 4}, {}),          largest({2, 17, 28, 28}, {2}), largest({1, 1, 1, 1}, {2, 1, 1}),
               largest({1, 40, 41, 43}, {5, 2, 2})};
  c.errors = {{"max_pool2d: the 3x3 window does not fit",
               [] {
                 max_pool2d(randn({1, 2, 2, 2}), {3});
               }},
              {"max_pool2d: kernel and stride",
               [] {
                 max_pool2d(randn({1, 2, 4, 4}), {2, 1, 2});
               }},
              {"max_pool2d: the image must have 4 axes",
               [] {
                 max_pool2d(randn({2, 4, 4}));
               }},
              {"max_pool2d: input 0 must be a float tensor", [] {
                 max_pool2d(randint({1, 2, 4, 4}, 9));
               }}};
}

OP_CASE(avg_pool2d) {
  c.covers = {"avg_pool2d", "avg_pool2d_grad"};
  c.samples = {average({2, 3, 5, 4}, {3, 2, 1}), average({2, 3, 5, 4}, {3, 2, 1, false}),
               average({1, 2, 6, 6}, {}),        average({3, 131, 5, 3}, {2, 1}),
               average({1, 2, 9, 7}, {2, 3}),    average({0, 2, 5, 5}, {}),
               average({2, 17, 28, 28}, {7, 7}), average({1, 40, 41, 43}, {5, 2, 2, false})};
  c.errors = {{"avg_pool2d: the 3x3 window does not fit",
               [] {
                 avg_pool2d(randn({1, 2, 2, 2}), {3});
               }},
              {"avg_pool2d: kernel and stride", [] {
                 avg_pool2d(randn({1, 2, 4, 4}), {0});
               }}};
}
