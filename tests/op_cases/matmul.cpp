// tests/op_cases/matmul.cpp -- matrix products against triple loops.
#include "autograd/ops/linalg.h"
#include "autograd/ops/shape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// op(a) op(b) of [batch.., m, k] and [batch.., k, n] by loops; batch axes broadcast through views.
Tensor naive_product(const Tensor& a, const Tensor& b, bool ta, bool tb) {
  const int ra = a.rank(), rb = b.rank();
  Shape ba = a.shape(), bb = b.shape();
  for (Shape* s : {&ba, &bb}) {
    s->erase(s->rank() - 1);
    s->erase(s->rank() - 1);
  }
  const Shape batch = broadcast_shapes(ba, bb, "naive_product");
  const std::int64_t m = a.shape()[ra - (ta ? 1 : 2)], k = a.shape()[ra - (ta ? 2 : 1)],
                     n = b.shape()[rb - (tb ? 2 : 1)];
  const auto full = [&](const Tensor& t) {
    Shape s = batch;
    s.push_back(t.shape()[t.rank() - 2]);
    s.push_back(t.shape()[t.rank() - 1]);
    return t.view(broadcast_layout(t.layout(), s)).values();
  };
  const auto va = full(a), vb = full(b);
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  std::vector<double> out;
  for (std::int64_t g = 0; g < batch.product(); ++g)
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        double s = 0;
        for (std::int64_t l = 0; l < k; ++l)
          s += va[at(g * m * k + (ta ? l * m + i : i * k + l))] * vb[at(g * k * n + (tb ? j * k + l : l * n + j))];
        out.push_back(s);
      }
  Shape shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  return Tensor::from(out, shape, DType::f64);
}

Sample product(const Shape& a, const Shape& b, bool ta = false, bool tb = false) {
  return {{randn(a), randn(b, 2)},
          [=](In in) { return Tensors{matmul(in[0], in[1], ta, tb)}; },
          [=](In in) { return Tensors{naive_product(in[0], in[1], ta, tb)}; },
          a.str() + b.str()};
}
}  // namespace

OP_CASE(matmul) {
  c.tolerance_f32 = 2e-6;
  c.samples = {product({2, 3}, {3, 4}),
               product({3, 2}, {3, 4}, true),
               product({2, 3}, {4, 3}, false, true),
               product({3, 2}, {4, 3}, true, true),
               product({5, 2, 3}, {3, 4}),
               product({2, 1, 3, 2}, {3, 2, 5}),
               product({0, 3}, {3, 4}),
               product({2, 0}, {0, 4}),
               product({3, 2, 7}, {3, 6, 7}, false, true),
               product({70, 65}, {65, 33})};
  c.errors = {{"matmul: inner extents differ; got f64[2, 3] on cpu and f64[4, 3] on cpu",
               [] {
                 matmul(randn({2, 3}), randn({4, 3}));
               }},
              {"matmul: shapes do not broadcast", [] {
                 matmul(randn({2, 2, 3}), randn({3, 3, 4}));
               }}};
}

OP_CASE(linear) {
  c.covers = {"linear"};
  c.tolerance_f32 = 2e-6;
  c.fn = [](In in) { return Tensors{linear(in[0], in[1], in[2])}; };
  c.naive = [](In in) {
    const Tensor flat = in[0].rank() == 2 ? in[0] : reshape(in[0], {in[0].numel() / in[0].size(-1), in[0].size(-1)});
    auto v = naive_product(flat, in[1], false, true).values();
    const auto bias =
        in[2].defined() ? in[2].values() : std::vector<double>(static_cast<std::size_t>(in[1].size(0)), 0.0);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] += bias[i % bias.size()];
    Shape shape = in[0].shape();
    shape[shape.rank() - 1] = in[1].size(0);
    return Tensors{Tensor::from(v, shape, DType::f64)};
  };
  c.samples = {{{randn({3, 4}), randn({5, 4}), randn({5})}},
               {{randn({3, 4}), randn({5, 4}), Tensor()}},
               {{randn({2, 3, 7}), randn({4, 7}), randn({4})}},
               {{randn({0, 4}), randn({5, 4}), randn({5})}}};
  c.errors = {{"linear: input and weight differ in width",
               [] {
                 linear(randn({2, 3}), randn({4, 5}));
               }},
              {"linear: the bias must have 4 elements", [] {
                 linear(randn({2, 3}), randn({4, 3}), randn({3}));
               }}};
}
