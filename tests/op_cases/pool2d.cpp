// tests/op_cases/pool2d.cpp -- max and average pooling and their adjoints, window by window.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops/pool.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
using Reducer = std::function<double(const std::vector<double>&)>;
/// Which of `extent` positions window i sees, and how many windows there are.
struct Windows {
  std::function<std::int64_t(std::int64_t extent)> count;
  std::function<bool(std::int64_t extent, std::int64_t i, std::int64_t position)> sees;
};
Windows sliding(PoolOptions o) {
  const std::int64_t stride = o.stride ? o.stride : o.kernel;
  return {[=](std::int64_t extent) { return (extent + 2 * o.padding - o.kernel) / stride + 1; },
          [=](std::int64_t, std::int64_t i, std::int64_t at) {
            return at >= i * stride - o.padding && at < i * stride - o.padding + o.kernel;
          }};
}
Windows adaptive(std::int64_t parts) {
  return {[=](std::int64_t) { return parts; },
          [=](std::int64_t extent, std::int64_t i, std::int64_t at) {
            const double size = double(extent) / double(parts);  // exact enough: the samples are small
            return double(at) >= std::floor(double(i) * size + 1e-9) &&
                   double(at) < std::ceil(double(i + 1) * size - 1e-9);
          }};
}

/// Pools every window of an NCHW image (or of a signal NCL) with f(values inside the image).
Function naive_pool(const Windows& rows, const Windows& cols, const Reducer& f) {
  return [=](In in) {
    const bool signal = in[0].rank() == 3;
    const std::int64_t n = in[0].size(0), c = in[0].size(1), h = signal ? 1 : in[0].size(2), w = in[0].size(-1);
    const std::int64_t oh = signal ? 1 : rows.count(h), ow = cols.count(w);
    const auto x = in[0].values();
    std::vector<double> y;
    for (std::int64_t plane = 0; plane < n * c; ++plane)
      for (std::int64_t i = 0; i < oh; ++i)
        for (std::int64_t j = 0; j < ow; ++j) {
          std::vector<double> seen;
          for (std::int64_t p = 0; p < h; ++p)
            for (std::int64_t q = 0; q < w; ++q)
              if ((signal || rows.sees(h, i, p)) && cols.sees(w, j, q))
                seen.push_back(x[static_cast<std::size_t>((plane * h + p) * w + q)]);
          y.push_back(f(seen));
        }
    return Tensors{Tensor::from(y, signal ? Shape{n, c, ow} : Shape{n, c, oh, ow}, DType::f64)};
  };
}

double largest_of(const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }
double mean_of(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

/// The numbers 0, 1, .. in scrambled order, 1e-3 apart: no two maxima come within reach of a finite difference.
Tensor scrambled(const Shape& shape) {
  const auto n = static_cast<std::size_t>(shape.product());
  std::vector<double> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = 1e-3 * static_cast<double>(i * 48271 % n) - 1;  // 48271 is prime
  return Tensor::from(v, shape, DType::f64);
}

Sample largest(const Shape& x, PoolOptions o) {
  return {{scrambled(x)},
          [o](In in) { return Tensors{in[0].rank() == 3 ? max_pool1d(in[0], o) : max_pool2d(in[0], o)}; },
          naive_pool(sliding(o), sliding(o), largest_of),
          x.str()};
}
Sample adaptive_largest(const Shape& x, std::int64_t h, std::int64_t w) {
  return {{scrambled(x)},
          [=](In in) { return Tensors{adaptive_max_pool2d(in[0], h, w)}; },
          naive_pool(adaptive(h), adaptive(w), largest_of),
          x.str()};
}

Sample average(const Shape& x, PoolOptions o) {
  return {{randn(x)},
          [o](In in) { return Tensors{in[0].rank() == 3 ? avg_pool1d(in[0], o) : avg_pool2d(in[0], o)}; },
          naive_pool(sliding(o), sliding(o),
                     [o, rank = x.rank()](const std::vector<double>& v) {
                       const auto all = static_cast<double>(rank == 3 ? o.kernel : o.kernel * o.kernel);
                       return o.count_include_pad ? mean_of(v) * static_cast<double>(v.size()) / all : mean_of(v);
                     }),
          x.str()};
}
Sample adaptive_average(const Shape& x, std::int64_t h, std::int64_t w) {
  return {{randn(x)},
          [=](In in) { return Tensors{adaptive_avg_pool2d(in[0], h, w)}; },
          naive_pool(adaptive(h), adaptive(w), mean_of),
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

OP_CASE(pool1d) {
  c.covers = {"max_pool2d", "avg_pool2d"};  // signals are images of one row
  c.samples = {largest({2, 3, 7}, {3, 2, 1}), average({2, 3, 7}, {3, 2, 1}), average({1, 2, 8}, {2, 0, 1, false}),
               largest({1, 5, 31}, {4})};
  c.errors = {{"max_pool1d: the signal must have 3 axes",
               [] {
                 max_pool1d(randn({2, 3, 4, 4}));
               }},
              {"avg_pool1d: kernel and stride", [] {
                 avg_pool1d(randn({1, 2, 4}), {0});
               }}};
}

OP_CASE(adaptive_pool2d) {
  c.covers = {"max_pool2d", "max_pool2d_grad", "max_pool2d_gather", "avg_pool2d", "avg_pool2d_grad"};
  c.samples = {adaptive_average({2, 2, 5, 7}, 3, 2),   adaptive_largest({2, 2, 5, 7}, 3, 2),
               adaptive_average({1, 3, 2, 3}, 5, 7),   adaptive_largest({1, 3, 2, 3}, 5, 3),
               adaptive_average({3, 131, 8, 6}, 1, 1), adaptive_average({0, 2, 4, 4}, 2, 2),
               adaptive_average({2, 33, 33, 35}, 8, 9)};
  c.errors = {{"adaptive_avg_pool2d: the result's extents must be positive",
               [] {
                 adaptive_avg_pool2d(randn({1, 2, 4, 4}), 0, 1);
               }},
              {"adaptive_max_pool2d: the image must have 4 axes",
               [] {
                 adaptive_max_pool2d(randn({2, 4, 4}), 1, 1);
               }},
              {"avg_pool2d: the 1x1 window does not fit", [] {
                 adaptive_avg_pool2d(randn({1, 2, 0, 4}), 1, 1);
               }}};
}
