// tests/op_cases/distance.cpp -- pairwise distances by their definition, and their behaviour near 0.
#include "autograd/ops/distance.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
double distance_of(const double* a, const double* b, std::int64_t d, Metric metric) {
  double s = 0;
  for (std::int64_t k = 0; k < d; ++k)
    s += metric == Metric::l1 ? std::abs(a[k] - b[k]) : (a[k] - b[k]) * (a[k] - b[k]);
  return metric == Metric::l2 ? std::sqrt(s) : s;
}
Sample distance_sample(const Shape& a, const Shape& b, Metric metric) {
  return {{randn(a), randn(b, 2)},
          [=](In in) { return Tensors{pairwise_distance(in[0], in[1], metric)}; },
          [=](In in) {
            const std::int64_t n = in[0].size(-2), m = in[1].size(-2), d = in[0].size(-1);
            const Shape batch_a(std::span(in[0].shape().begin(), in[0].shape().end() - 2));
            const Shape batch_b(std::span(in[1].shape().begin(), in[1].shape().end() - 2));
            Shape out = broadcast_shapes(batch_a, batch_b, "naive"), full_a = out, full_b = out;
            for (const std::int64_t e : {n, d}) full_a.push_back(e);
            for (const std::int64_t e : {m, d}) full_b.push_back(e);
            const std::int64_t batches = out.product();
            out.push_back(n);
            out.push_back(m);
            const auto x = broadcast_to(in[0], full_a).values(), y = broadcast_to(in[1], full_b).values();
            std::vector<double> v;
            for (std::int64_t s = 0; s < batches; ++s)
              for (std::int64_t i = 0; i < n; ++i)
                for (std::int64_t j = 0; j < m; ++j)
                  v.push_back(distance_of(x.data() + (s * n + i) * d, y.data() + (s * m + j) * d, d, metric));
            return Tensors{Tensor::from(v, out, DType::f64)};
          },
          a.str() + b.str()};
}
void distance_case(OpCase& c, Metric metric) {
  c.samples = {distance_sample({3, 2}, {4, 2}, metric),       distance_sample({2, 3, 2}, {2, 4, 2}, metric),
               distance_sample({3, 2}, {2, 1, 4, 2}, metric), distance_sample({2, 3, 4, 5}, {2, 1, 2, 5}, metric),
               distance_sample({0, 2}, {4, 2}, metric),       distance_sample({3, 0}, {4, 0}, metric),
               distance_sample({260, 7}, {301, 7}, metric)};
  if (metric != Metric::squared_l2) c.samples.erase(c.samples.begin() + 5);  // all distances 0: a kink
  // Coordinates a quarter apart, or some of so many pairs would be nearer to the kink than a finite difference reaches.
  Tensors& many = c.samples.back().in;
  many = {round(many[0] * 2.0) * 0.5 + 0.25, round(many[1] * 2.0) * 0.5};
  c.errors = {{"pairwise_distance: needs points", [=] { pairwise_distance(randn({3, 2}), randn({3, 4}), metric); }}};
}
}  // namespace

OP_CASE(squared_distance) { distance_case(c, Metric::squared_l2); }
OP_CASE(l2_distance) {
  c.covers = {"squared_distance"};
  distance_case(c, Metric::l2);
}
OP_CASE(l1_distance) {
  c.covers = {"l1_distance", "l1_distance_backward"};
  distance_case(c, Metric::l1);
}

OP_CASE(k_nearest) {
  c.covers = {"squared_distance", "l1_distance", "top_k"};
  const auto sample = [](const Shape& queries, const Shape& points, std::int64_t k, Metric metric) {
    return Sample{
        {randn(queries), randn(points, 2)},
        [=](In in) {
          const auto [distances, indices] = k_nearest(in[0], in[1], k, metric);
          return Tensors{distances, indices};
        },
        [=](In in) {
          const auto q = in[0].values(), p = in[1].values();
          const std::int64_t d = in[0].size(1);
          std::vector<double> distances;
          std::vector<std::int64_t> indices;
          for (std::int64_t i = 0; i < in[0].size(0); ++i) {
            std::vector<std::pair<double, std::int64_t>> all;
            for (std::int64_t j = 0; j < in[1].size(0); ++j)
              all.push_back({distance_of(q.data() + i * d, p.data() + j * d, d, metric), j});
            std::sort(all.begin(), all.end());
            for (std::int64_t r = 0; r < k; ++r) {
              distances.push_back(all[static_cast<std::size_t>(r)].first);
              indices.push_back(all[static_cast<std::size_t>(r)].second);
            }
          }
          const Shape shape{in[0].size(0), k};
          return Tensors{Tensor::from(distances, shape, DType::f64), Tensor::of<std::int64_t>(indices, shape)};
        }};
  };
  c.dtypes = {DType::f32};  // rounding points to 16 bits changes who is nearest
  c.samples = {sample({3, 2}, {5, 2}, 2, Metric::l2), sample({4, 3}, {6, 3}, 6, Metric::squared_l2),
               sample({4, 3}, {6, 3}, 1, Metric::l1), sample({300, 5}, {17000, 5}, 3, Metric::l2)};
  c.errors = {{"k_nearest: k must lie between 1 and the 3 points; got 4",
               [] {
                 k_nearest(randn({2, 2}), randn({3, 2}), 4);
               }},
              {"k_nearest: needs queries", [] {
                 k_nearest(randn({2, 2}), randn({3, 3}), 1);
               }}};
}

TEST_CASE("ops: a point is at distance 0 from itself, far from the origin too, with a finite gradient") {
  const Tensor x = cast(randn({40, 6}) + 1e4, DType::f32);
  for (const Metric metric : {Metric::squared_l2, Metric::l2, Metric::l1}) {
    Tape tape;
    const Tensor leaf = tape.watch(x);
    const Tensor y = pairwise_distance(leaf, leaf, metric);
    const auto v = y.values();
    for (std::size_t i = 0; i < 40; ++i) CHECK(v[i * 40 + i] == 0);
    const Tensor exact = pairwise_distance(cast(x, DType::f64), cast(x, DType::f64), metric);
    CHECK(relative_error(cast(y, DType::f64), exact) < 1e-6);
    const Tensor g = tape.gradients(sum(y), std::span(&leaf, 1))[0];
    Tape wide;
    const Tensor leaf64 = wide.watch(cast(x, DType::f64));
    const Tensor g64 = wide.gradients(sum(pairwise_distance(leaf64, leaf64, metric)), std::span(&leaf64, 1))[0];
    CHECK(relative_error(cast(g, DType::f64), g64) < 1e-5);
  }
}
