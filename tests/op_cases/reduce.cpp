// tests/op_cases/reduce.cpp -- sums, extremes and other reductions over axes, against one walk over all elements.
#include "autograd/ops/reduce.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Collects, per output position, the elements that reduce to it (in logical order) and maps each list to a value.
Function naive_reduction(std::uint32_t mask, std::function<double(const std::vector<double>&)> f) {
  return [mask, f](In in) {
    Shape shape;
    for (int a = 0; a < in[0].rank(); ++a)
      if (!(mask >> a & 1u)) shape.push_back(in[0].shape()[a]);
    std::vector<std::vector<double>> lists(static_cast<std::size_t>(shape.product()));
    const Strides in_strides = contiguous_strides(in[0].shape()), out_strides = contiguous_strides(shape);
    const auto v = in[0].values();
    for (std::size_t i = 0; i < v.size(); ++i) {
      std::int64_t at = 0, rest = static_cast<std::int64_t>(i);
      for (int a = 0, k = 0; a < in[0].rank(); ++a) {
        const std::int64_t index = rest / in_strides[a];
        rest %= in_strides[a];
        if (!(mask >> a & 1u)) at += index * out_strides[k++];
      }
      lists[static_cast<std::size_t>(at)].push_back(v[i]);
    }
    std::vector<double> out;
    for (const auto& list : lists) out.push_back(f(list));
    return Tensors{Tensor::from(out, shape, DType::f64)};
  };
}

using Reduction = Tensor (*)(const Tensor&, const Axes&, bool);
using Reference = double (*)(const std::vector<double>&);

Sample reduction_sample(const Tensor& x, const Axes& axes, Reduction f, Reference reference) {
  return {{x},
          [f, axes](In in) { return Tensors{f(in[0], axes, false)}; },
          naive_reduction(axis_mask(x.rank(), axes, "sample"), reference)};
}

/// Every path of the kernels: rows, columns, few results from many elements, several axes, 0-d. Where gradients are of
/// the size of 1 / (number of elements), `large` keeps them in the normal range of f16.
void reduction(OpCase& c, Reduction f, Reference reference, const Shape& large = {3, 70001},
               const Axes& of_large = {}) {
  const auto add = [&](const Shape& shape, const Axes& axes) {
    c.samples.push_back(reduction_sample(randn(shape), axes, f, reference));
  };
  add({2, 3}, {1});
  add({2, 3}, {0});
  add({}, {});
  add(large, of_large);
  add({3, 4, 5}, {0, 2});
  add({2, 3, 17, 19}, {-2, -1});
  add({2, 16, 5, 3}, {0, 2, 3});
  add({1100, 33}, {0});
  add({0, 3}, {1});
  const Tensor x = randn({4, 3, 2});
  c.samples.push_back({{x},
                       [f](In in) { return Tensors{f(in[0], {1}, true)}; },
                       [reference](In in) {
                         const Tensor y = naive_reduction(2, reference)(in)[0];
                         return Tensors{y.view({{4, 1, 2}, {2, 2, 1}, 0})};
                       },
                       "keepdim"});
  c.errors = {{c.name + ": axis 2 is outside a tensor of rank 2",
               [f] {
                 f(randn({2, 3}), {2}, false);
               }},
              {c.name + ": axis -1 is named twice", [f] {
                 f(randn({2, 3}), {1, -1}, false);
               }}};
}
double total(const std::vector<double>& v) {
  double s = 0;
  for (const double x : v) s += x;
  return s;
}
double largest(const std::vector<double>& v) { return *std::max_element(v.begin(), v.end()); }
double smallest(const std::vector<double>& v) { return *std::min_element(v.begin(), v.end()); }
Tensor coin(const Shape& shape) { return cast(randint(shape, 3), DType::boolean); }
}  // namespace

OP_CASE(sum) {
  c.order = 2;
  reduction(c, sum, total);
  c.samples.push_back(reduction_sample(randn({4, 0}), {1}, sum, total));
  c.samples.push_back(reduction_sample(randint({5, 7}, 1000), {1}, sum, total));
  c.samples.push_back(reduction_sample(cast(randint({50, 70}, 256), DType::u8), {0}, sum, total));
  c.samples.push_back(reduction_sample(coin({700, 300}), {}, sum, total));
}

OP_CASE(mean_and_var) {
  c.covers = {"sum"};
  reduction(c, mean, [](const std::vector<double>& v) { return total(v) / static_cast<double>(v.size()); }, {70, 1001},
            {1});
  const auto variance = [](const std::vector<double>& v) {
    const double m = total(v) / static_cast<double>(v.size());
    double s = 0;
    for (const double x : v) s += (x - m) * (x - m);
    return s / static_cast<double>(v.size());
  };
  c.samples.push_back(
      {{randn({3, 5}) + 2.0}, [](In in) { return Tensors{var(in[0], {1})}; }, naive_reduction(2, variance), "var"});
  c.samples.push_back({{randn({3, 5})},
                       [](In in) {
                         return Tensors{var(in[0], {0, 1}, 1)};
                       },
                       naive_reduction(3, [variance](const std::vector<double>& v) { return variance(v) * 15 / 14; }),
                       "unbiased"});
  c.errors = {{"mean: axis 2 is outside a tensor of rank 2",
               [] {
                 mean(randn({2, 3}), {2});
               }},
              {"var: axis 2 is outside a tensor of rank 2", [] {
                 var(randn({2, 3}), {2});
               }}};
}

OP_CASE(logsumexp) {
  reduction(c, logsumexp,
            [](const std::vector<double>& v) {
              double s = 0;
              for (const double x : v) s += std::exp(x);
              return std::log(s);
            },
            {70, 1001}, {1});
}

OP_CASE(max) {
  reduction(c, max, largest);
  c.samples.push_back(reduction_sample(randint({5, 70}, 10), {1}, max, largest));
  c.errors.push_back({"max: no elements to choose from; got f64[2, 0] on cpu", [] { max(randn({2, 0}), {1}); }});
}
OP_CASE(min) {
  reduction(c, min, smallest);
  c.samples.push_back(reduction_sample(randint({5, 70}, 10), {1}, min, smallest));
  c.errors.push_back({"min: no elements to choose from; got f64[2, 0] on cpu", [] { min(randn({2, 0}), {1}); }});
}

namespace {
void position(OpCase& c, Tensor (*f)(const Tensor&, int, bool), Reference reference) {
  c.order = 0;
  const auto add = [&](const Tensor& x, int axis) {
    c.samples.push_back({{x},
                         [f, axis](In in) { return Tensors{f(in[0], axis, false)}; },
                         naive_reduction(1u << (axis < 0 ? axis + x.rank() : axis), reference)});
  };
  add(randn({2, 3}), 1);
  add(randn({5, 4, 3}), 1);
  add(randn({2, 3, 5, 7}), 1);
  add(randint({50, 40}, 5), 0);  // ties: the first one
  add(randn({300, 301}), -1);
  c.errors = {{c.name + ": no elements to choose from",
               [f] {
                 f(randn({2, 0}), 1, false);
               }},
              {c.name + ": axis 3 is outside", [f] {
                 f(randn({2, 3}), 3, false);
               }}};
}
}  // namespace

OP_CASE(argmax) {
  position(c, argmax, [](const std::vector<double>& v) {
    return static_cast<double>(std::max_element(v.begin(), v.end()) - v.begin());
  });
}
OP_CASE(argmin) {
  position(c, argmin, [](const std::vector<double>& v) {
    return static_cast<double>(std::min_element(v.begin(), v.end()) - v.begin());
  });
}

OP_CASE(all) {
  c.order = 0;
  const auto reference = [](const std::vector<double>& v) {
    return double(std::all_of(v.begin(), v.end(), [](double x) { return x != 0; }));
  };
  c.samples = {reduction_sample(coin({40, 3}), {1}, all, reference),
               reduction_sample(coin({3, 40}), {0}, all, reference),
               reduction_sample(coin({2, 0}), {1}, all, reference),
               reduction_sample(equal(randn({300, 300}), randn({300, 300})), {}, all, reference)};
  c.errors = {{"all: the input must be bool", [] { all(randn({2})); }}};
}
OP_CASE(any) {
  c.order = 0;
  const auto reference = [](const std::vector<double>& v) {
    return double(std::any_of(v.begin(), v.end(), [](double x) { return x != 0; }));
  };
  c.samples = {reduction_sample(coin({40, 3}), {1}, any, reference),
               reduction_sample(coin({3, 40}), {0}, any, reference),
               reduction_sample(coin({2, 0}), {1}, any, reference),
               reduction_sample(not_equal(randn({300, 300}), randn({300, 300})), {}, any, reference)};
  c.errors = {{"any: the input must be bool", [] { any(randn({2})); }}};
}
