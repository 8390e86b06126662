// tests/op_cases/index.cpp -- reading and adding by index, against loops over the definition.
#include "autograd/ops/index.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "tensor/write.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
struct Extents {
  std::int64_t outer = 1, length = 1, inner = 1;
};
Extents around(const Shape& shape, int axis) {
  Extents e;
  e.length = shape[axis];
  for (int a = 0; a < shape.rank(); ++a)
    (a < axis ? e.outer : a > axis ? e.inner : e.length) *= a == axis ? 1 : shape[a];
  return e;
}
/// Copies (or adds back) x[o, index[k], i] <-> y[o, k, i] over row-major lists.
template <class F>
void for_each_pair(const Extents& x, const std::vector<std::int64_t>& index, F&& f) {
  const auto n = static_cast<std::int64_t>(index.size());
  for (std::int64_t o = 0; o < x.outer; ++o)
    for (std::int64_t k = 0; k < n; ++k)
      for (std::int64_t i = 0; i < x.inner; ++i)
        f(static_cast<std::size_t>((o * x.length + index[static_cast<std::size_t>(k)]) * x.inner + i),
          static_cast<std::size_t>((o * n + k) * x.inner + i));
}
/// The same for an index per line: x[o, index[o, k, i], i] <-> y[o, k, i].
template <class F>
void for_each_line_pair(const Extents& x, const Tensor& index, int axis, F&& f) {
  const auto list = index.values<std::int64_t>();
  const std::int64_t n = index.size(axis);
  for (std::size_t at = 0; at < list.size(); ++at) {
    const auto p = static_cast<std::int64_t>(at);
    const std::int64_t o = p / (n * x.inner), i = p % x.inner;
    f(static_cast<std::size_t>((o * x.length + list[at]) * x.inner + i), at);
  }
}
Shape replaced(const Shape& shape, int axis, int count, const Shape& by) {
  Shape out;
  for (int a = 0; a < axis; ++a) out.push_back(shape[a]);
  for (const std::int64_t e : by) out.push_back(e);
  for (int a = axis + count; a < shape.rank(); ++a) out.push_back(shape[a]);
  return out;
}
}  // namespace

OP_CASE(index_select) {
  c.order = 2;
  const auto add = [&](const Shape& shape, int axis, const Tensor& index) {
    c.samples.push_back({{randn(shape), index},
                         [axis](In in) { return Tensors{index_select(in[0], axis, in[1])}; },
                         [axis](In in) {
                           const Shape out = replaced(in[0].shape(), axis, 1, in[1].shape());
                           const auto x = in[0].values();
                           std::vector<double> y(static_cast<std::size_t>(out.product()));
                           for_each_pair(around(in[0].shape(), axis), in[1].values<std::int64_t>(),
                                         [&](std::size_t from, std::size_t to) { y[to] = x[from]; });
                           return Tensors{Tensor::from(y, out, DType::f64)};
                         }});
  };
  add({4, 3}, 0, randint({5}, 4));
  add({4, 3}, 1, randint({2, 2}, 3));
  add({2, 3, 5, 7}, 0, randint({3}, 2));
  add({2, 3, 5, 7}, 1, randint({4}, 3));
  add({9}, 0, randint({}, 9));
  add({4, 3}, 0, randint({0}, 4));
  add({50, 301}, 0, randint({17, 19}, 50));
  c.samples.push_back({{randn({5, 3}), randint({2, 4}, 5)},
                       [](In in) { return Tensors{embedding(in[0], in[1])}; },
                       c.samples[0].naive,
                       "embedding"});
  c.samples.back().naive = [](In in) {
    const auto x = in[0].values();
    std::vector<double> y;
    for (const std::int64_t id : in[1].values<std::int64_t>())
      y.insert(y.end(), x.begin() + id * 3, x.begin() + id * 3 + 3);
    return Tensors{Tensor::from(y, {2, 4, 3}, DType::f64)};
  };
  c.errors = {{"index_select: index 4 is out of range for axis 0 of extent 4",
               [] {
                 index_select(randn({4, 3}), 0, Tensor::full({1}, 4, DType::i64));
               }},
              {"index_select: index -1 is out of range for axis 1 of extent 3",
               [] {
                 index_select(randn({4, 3}), 1, Tensor::full({1}, -1, DType::i64));
               }},
              {"index_select: input 1 must be i64", [] { index_select(randn({4}), 0, randn({1})); }},
              {"embedding: the weight must be a table", [] { embedding(randn({4}), randint({1}, 2)); }}};
}

OP_CASE(index_add) {
  c.order = 2;
  const auto add = [&](const Shape& shape, int axis, const Tensor& index, std::int64_t extent) {
    c.samples.push_back({{randn(shape), index},
                         [=](In in) { return Tensors{index_add(in[0], axis, in[1], extent)}; },
                         [=](In in) {
                           const Shape out = replaced(in[0].shape(), axis, in[1].rank(), {extent});
                           const auto x = in[0].values();
                           std::vector<double> y(static_cast<std::size_t>(out.product()), 0.0);
                           for_each_pair(around(out, axis), in[1].values<std::int64_t>(),
                                         [&](std::size_t to, std::size_t from) { y[to] += x[from]; });
                           return Tensors{Tensor::from(y, out, DType::f64)};
                         }});
  };
  add({5, 3}, 0, randint({5}, 4), 4);
  add({4, 2, 2}, 1, randint({2, 2}, 3), 3);
  add({3, 3, 5, 7}, 0, randint({3}, 2), 2);
  add({3}, 0, randint({}, 9), 9);
  add({0, 3}, 0, randint({0}, 4), 4);
  add({17, 19, 301}, 0, randint({17, 19}, 50), 50);
  Sample from_behind = c.samples[1];
  from_behind.fn = [](In in) { return Tensors{index_add(in[0], -1, in[1], 3)}; };
  from_behind.label = "the axis counted from behind";
  c.samples.push_back(from_behind);
  c.errors = {{"index_add: index 4 is out of range for axis 0 of extent 4",
               [] {
                 index_add(randn({1, 3}), 0, Tensor::full({1}, 4, DType::i64), 4);
               }},
              {"index_add: from axis 0 on, the source must have the axes of the indices", [] {
                 index_add(randn({2, 3}), 0, randint({3}, 2), 4);
               }}};
}

TEST_CASE("index_add: a row of indices leaves images channels last") {
  const Tensor images = copy_of(randn({3, 4, 5, 7}), true);
  CHECK(index_add(images, 0, randint({3}, 2), 2).layout().channels_last());
}

OP_CASE(gather) {
  c.order = 2;
  const auto add = [&](const Shape& shape, int axis, const Tensor& index) {
    c.samples.push_back({{randn(shape), index},
                         [axis](In in) { return Tensors{gather(in[0], axis, in[1])}; },
                         [axis](In in) {
                           const auto x = in[0].values();
                           std::vector<double> y(static_cast<std::size_t>(in[1].numel()));
                           for_each_line_pair(around(in[0].shape(), axis), in[1], axis,
                                              [&](std::size_t from, std::size_t to) { y[to] = x[from]; });
                           return Tensors{Tensor::from(y, in[1].shape(), DType::f64)};
                         }});
  };
  add({4, 3}, 1, randint({4, 2}, 3));
  add({4, 3}, 0, randint({1, 3}, 4));
  add({2, 3, 5, 7}, 1, randint({2, 2, 5, 7}, 3));
  add({4, 3}, 1, randint({4, 0}, 3));
  add({300, 11}, 1, randint({300, 301}, 11));
  c.errors = {{"gather: index 3 is out of range for axis 1 of extent 3",
               [] {
                 gather(randn({4, 3}), 1, Tensor::full({4, 1}, 3, DType::i64));
               }},
              {"gather: the index must have the extents of x on all axes but 1", [] {
                 gather(randn({4, 3}), 1, randint({3, 1}, 2));
               }}};
}

OP_CASE(scatter_add) {
  c.order = 2;
  const auto add = [&](const Shape& shape, int axis, std::int64_t extent) {
    c.samples.push_back({{randn(shape), randint(shape, extent)},
                         [=](In in) { return Tensors{scatter_add(in[0], axis, in[1], extent)}; },
                         [=](In in) {
                           Shape out = in[0].shape();
                           out[axis] = extent;
                           const auto x = in[0].values();
                           std::vector<double> y(static_cast<std::size_t>(out.product()), 0.0);
                           for_each_line_pair(around(out, axis), in[1], axis,
                                              [&](std::size_t to, std::size_t from) { y[to] += x[from]; });
                           return Tensors{Tensor::from(y, out, DType::f64)};
                         }});
  };
  add({4, 5}, 1, 3);
  add({4, 3}, 0, 6);
  add({2, 3, 5, 7}, 1, 4);
  add({4, 0}, 1, 3);
  add({300, 301}, 1, 11);
  c.errors = {{"scatter_add: index 3 is out of range for axis 1 of extent 3",
               [] {
                 scatter_add(randn({4, 1}), 1, Tensor::full({4, 1}, 3, DType::i64), 3);
               }},
              {"scatter_add: source and index must have one shape", [] {
                 scatter_add(randn({4, 1}), 1, randint({4, 2}, 3), 3);
               }}};
}

OP_CASE(scatter) {
  c.order = 2;
  c.covers = {"scatter"};
  const auto add = [&](const Shape& shape, int axis, std::int64_t n) {
    Shape writes = shape;
    writes[axis] = n;
    c.samples.push_back({{randn(shape), randint(writes, shape[axis]), randn(writes, 2)},
                         [=](In in) { return Tensors{scatter(in[0], axis, in[1], in[2])}; },
                         [=](In in) {
                           auto y = in[0].values();
                           const auto src = in[2].values();
                           for_each_line_pair(around(in[0].shape(), axis), in[1], axis,
                                              [&](std::size_t to, std::size_t from) { y[to] = src[from]; });
                           return Tensors{Tensor::from(y, in[0].shape(), DType::f64)};
                         }});
  };
  add({4, 6}, 1, 3);
  add({3, 4}, 0, 7);  // more writes than places: the last one of each counts
  add({2, 3, 5, 7}, 1, 2);
  add({4, 3}, 1, 0);
  add({300, 301}, 1, 11);
  c.samples.push_back({{randn({3, 4}), equal(randint({1, 4}, 2), Tensor::zeros({}, DType::i64))},
                       [](In in) { return Tensors{masked_fill(in[0], in[1], -7)}; },
                       [](In in) {
                         auto y = in[0].values();
                         const auto mask = in[1].values();
                         for (std::size_t i = 0; i < y.size(); ++i)
                           if (mask[i % 4] != 0) y[i] = -7;
                         return Tensors{Tensor::from(y, in[0].shape(), DType::f64)};
                       },
                       "masked_fill"});
  c.errors = {{"scatter: index 3 is out of range for axis 1 of extent 3",
               [] {
                 scatter(randn({4, 3}), 1, Tensor::full({4, 1}, 3, DType::i64), randn({4, 1}));
               }},
              {"scatter: index and source must have one shape, with the extents of x on all axes but 1",
               [] {
                 scatter(randn({4, 3}), 1, randint({4, 2}, 3), randn({4, 1}));
               }},
              {"scatter: source and target must have one dtype", [] {
                 scatter(randn({4, 3}), 1, randint({4, 1}, 3), cast(randn({4, 1}), DType::f32));
               }}};
}

OP_CASE(bincount) {
  c.covers = {"bincount", "scatter_add"};
  c.order = 2;
  c.naive = [](In in) {
    std::vector<double> y(7, 0.0);
    const auto ids = in[0].values<std::int64_t>();
    const auto weights = in.size() > 1 ? in[1].values() : std::vector<double>(ids.size(), 1.0);
    for (std::size_t i = 0; i < ids.size(); ++i) y[static_cast<std::size_t>(ids[i])] += weights[i];
    return Tensors{Tensor::from(y, {7}, DType::f64)};
  };
  c.fn = [](In in) { return Tensors{bincount(in[0], 7, in.size() > 1 ? in[1] : Tensor())}; };
  c.samples = {
      {{randint({3, 4}, 7), randn({3, 4})}}, {{randint({5, 300, 61}, 7)}}, {{randint({}, 7)}}, {{randint({0}, 7)}}};
  c.errors = {{"bincount: index 7 is out of range for axis 0 of extent 7",
               [] { bincount(Tensor::full({2}, 7, DType::i64), 7); }},
              {"bincount: ids and weights must have one shape", [] { bincount(randint({2}, 7), 7, randn({3})); }}};
}

OP_CASE(one_hot) {
  c.order = 0;
  c.fn = [](In in) { return Tensors{one_hot(in[0], 5, DType::f64)}; };
  c.dtypes = {};
  c.naive = [](In in) {
    Shape shape = in[0].shape();
    shape.push_back(5);
    std::vector<double> y;
    for (const auto id : in[0].values<std::int64_t>())
      for (std::int64_t k = 0; k < 5; ++k) y.push_back(k == id);
    return Tensors{Tensor::from(y, shape, DType::f64)};
  };
  c.samples = {{{randint({4}, 5)}}, {{randint({}, 5)}}, {{randint({2, 3}, 5)}}, {{randint({0}, 5)}}};
  c.errors = {{"one_hot: index 5 is out of range for axis 1 of extent 5",
               [] { one_hot(Tensor::full({2}, 5, DType::i64), 5); }}};
}
