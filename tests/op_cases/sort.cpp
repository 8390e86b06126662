// tests/op_cases/sort.cpp -- orders along an axis against a stable sort of (value, place) pairs.
#include "autograd/ops/sort.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// The first k of each line's elements in order, and their places.
Function naive_order(int axis, bool descending, std::int64_t k) {
  return [=](In in) {
    const Shape& s = in[0].shape();
    Shape out = s;
    out[axis] = k;
    std::int64_t inner = 1;
    for (int a = axis + 1; a < s.rank(); ++a) inner *= s[a];
    const auto x = in[0].values();
    std::vector<double> values(static_cast<std::size_t>(out.product()));
    std::vector<std::int64_t> places(values.size());
    for (std::int64_t o = 0; o < s.product() / std::max<std::int64_t>(s[axis] * inner, 1); ++o)
      for (std::int64_t i = 0; i < inner; ++i) {
        const auto at = [&](std::int64_t p) { return x[static_cast<std::size_t>((o * s[axis] + p) * inner + i)]; };
        std::vector<std::int64_t> order(static_cast<std::size_t>(s[axis]));
        for (std::size_t p = 0; p < order.size(); ++p) order[p] = static_cast<std::int64_t>(p);
        const auto above = [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a > b; };
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t p, std::int64_t q) {
          return descending ? above(at(p), at(q)) : above(at(q), at(p));
        });
        for (std::int64_t j = 0; j < k; ++j) {
          const auto to = static_cast<std::size_t>((o * k + j) * inner + i);
          values[to] = at(order[static_cast<std::size_t>(j)]);
          places[to] = order[static_cast<std::size_t>(j)];
        }
      }
    return Tensors{Tensor::from(values, out, DType::f64), Tensor::of<std::int64_t>(places, out)};
  };
}
Sample sort_sample(const Tensor& x, int axis, bool descending) {
  return {{x},
          [=](In in) {
            const auto [values, indices] = sort(in[0], axis, descending);
            return Tensors{values, indices};
          },
          naive_order(axis, descending, x.size(axis)),
          x.str()};
}
Sample top_sample(const Tensor& x, std::int64_t k, int axis, bool largest) {
  return {{x},
          [=](In in) {
            const auto [values, indices] = top_k(in[0], k, axis, largest);
            return Tensors{values, indices};
          },
          naive_order(axis, largest, k),
          x.str()};
}
/// Lines of n shuffled values far enough apart that a finite difference moves none past another; n is prime to 191.
Tensor apart(std::int64_t lines, std::int64_t n) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < lines; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      v.push_back(static_cast<double>((191 * j + 37 * i) % n) * 4 / static_cast<double>(n) - 2);
  return Tensor::from(v, {lines, n}, DType::f64);
}
/// Few distinct values, with NaN, infinities and zeros of both signs.
Tensor special(const Shape& shape) {
  const double kinds[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1, -1, 2};
  std::vector<double> v;
  for (const std::int64_t i : randint(shape, 8).values<std::int64_t>()) v.push_back(kinds[i]);
  return Tensor::from(v, shape, DType::f64);
}
}  // namespace

OP_CASE(sort) {
  c.order = 2;
  c.samples = {sort_sample(randn({3, 5}), 1, false),
               sort_sample(randn({3, 5}), 0, true),
               sort_sample(randn({2, 3, 5, 7}), 1, false),
               sort_sample(randn({0, 4}), 1, false),
               sort_sample(randn({4, 0}), 1, false),
               sort_sample(apart(7, 301), 1, true),
               sort_sample(apart(260, 300), 1, false),
               sort_sample(randint({5, 700}, 20), 1, false),
               sort_sample(randint({5, 100}, 20), 1, true),
               sort_sample(cast(randint({3, 400}, 256), DType::u8), 1, true),
               sort_sample(cast(randint({3, 400}, 2000), DType::i32) - Tensor::full({}, 1000, DType::i32), 1, false),
               sort_sample(cast(randint({3, 50}, 2), DType::boolean), 1, false)};
  c.errors = {{"sort: axis 2 is outside", [] { sort(randn({2, 3}), 2); }}};
}

OP_CASE(top_k) {
  c.order = 2;
  c.samples = {top_sample(randn({3, 5}), 2, 1, true),
               top_sample(randn({3, 5}), 3, 0, false),
               top_sample(randn({2, 3, 5, 7}), 2, 1, true),
               top_sample(randn({4, 3}), 0, 1, true),
               top_sample(randn({4, 3}), 3, 1, true),
               top_sample(randn({2, 40000}), 50, 1, true),
               top_sample(randint({5, 7000}, 200), 77, 1, false),
               top_sample(cast(randint({3, 4000}, 256), DType::u8), 30, 1, true)};
  c.errors = {{"top_k: k must lie between 0 and the extent of axis 1; got 4",
               [] {
                 top_k(randn({2, 3}), 4);
               }},
              {"top_k: axis 2 is outside", [] {
                 top_k(randn({2, 3}), 1, 2);
               }}};
}

TEST_CASE("ops: sort and top_k put NaN above everything, hold zeros equal and keep equal elements in order") {
  for (const std::int64_t n : {30, 900})
    for (const bool descending : {false, true})
      for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
        const Tensor x = cast(special({2, n}), dtype);
        const auto [values, indices] = sort(x, 1, descending);
        const Tensors want = naive_order(1, descending, n)(std::array{x});
        CHECK(relative_error(values, want[0]) == 0);
        CHECK(indices.values() == want[1].values());
        const auto top = top_k(x, 13, 1, descending);
        CHECK(top.indices.values() == naive_order(1, descending, 13)(std::array{x})[1].values());
      }
}

TEST_CASE("ops: top_k of lines in the worst order is the sort's beginning") {
  std::vector<double> rising(5000);
  for (std::size_t i = 0; i < rising.size(); ++i) rising[i] = static_cast<double>(i);
  const Tensor x = Tensor::from(rising, {5000});
  CHECK(top_k(x, 3, 0).indices.values() == std::vector<double>{4999, 4998, 4997});
  CHECK(top_k(x, 3, 0, false).indices.values() == std::vector<double>{0, 1, 2});
}
