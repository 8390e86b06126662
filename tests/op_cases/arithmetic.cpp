// tests/op_cases/arithmetic.cpp -- sums, products, powers, casts, comparisons and selection.
#include "autograd/ops/arithmetic.h"

#include <cmath>

#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

OP_CASE(add) {
  c.fn = [](In in) { return Tensors{add(in[0], in[1])}; };
  c.naive = per_element2([](double a, double b) { return a + b; });
  c.samples = {{{randn({2, 3}), randn({3})}},
               {{randn({0}), randn({1})}},
               {{randn({}), randn({})}},
               {{randn({4, 1}), randn({1, 5})}},
               {{randn({70001}), randn({70001}, 2)}},
               {{randn({2, 3, 5, 7}), randn({3, 1, 1})}}};
  c.errors = {{"add: shapes do not broadcast; got [2] and [3]", [] { add(randn({2}), randn({3})); }},
              {"add: dtypes differ", [] { add(randn({2}), cast(randn({2}), DType::f32)); }}};
}

OP_CASE(mul) {
  c.fn = [](In in) { return Tensors{mul(in[0], in[1])}; };
  c.naive = per_element2([](double a, double b) { return a * b; });
  c.samples = {
      {{randn({2, 3}), randn({3})}}, {{randn({4, 1}), randn({1, 5})}}, {{randn({2, 3, 5, 7}), randn({3, 1, 1})}}};
}

OP_CASE(div) {
  c.fn = [](In in) { return Tensors{div(in[0], in[1])}; };
  c.naive = per_element2([](double a, double b) { return a / b; });
  c.samples = {{{randn({2, 3}), uniform({3}, 0.5, 2)}}, {{randn({4, 1}), uniform({1, 5}, -2, -0.5)}}};
}

OP_CASE(sub) {
  c.fn = [](In in) { return Tensors{sub(in[0], in[1])}; };
  c.naive = per_element2([](double a, double b) { return a - b; });
  c.samples = {
      {{randn({2, 3}), randn({3})}}, {{randn({}), randn({4, 5})}}, {{randn({2, 3, 5, 7}), randn({3, 1, 1}, 2)}}};
  c.errors = {{"sub: not defined on bool", [] { sub(equal(randn({2}), randn({2})), equal(randn({2}), randn({2}))); }}};
}

OP_CASE(neg) {
  c.fn = [](In in) { return Tensors{neg(in[0])}; };
  c.naive = per_element([](double x) { return -x; });
  c.samples = {{{randn({2, 3})}}, {{randn({})}}, {{randn({0})}}, {{randn({2, 3, 5, 7})}}};
}

OP_CASE(cast) {
  const auto to = [](DType dtype) { return [dtype](In in) { return Tensors{cast(in[0], dtype)}; }; };
  c.fn = to(DType::f64);
  c.naive = [](In in) { return Tensors{Tensor::from(in[0].values(), in[0].shape(), DType::f64)}; };
  c.dtypes = {};  // the sample dtypes are the matter itself
  c.samples = {{{randn({2, 3})}},
               {{randint({4, 5}, 100)}},
               {{cast(randn({7}), DType::f32)}},
               {{randn({3, 5})}, to(DType::i64), per_element([](double x) { return std::trunc(x); })},
               {{randn({3, 5})},
                [](In in) { return Tensors{cast(cast(in[0], DType::f32), DType::f64)}; },
                per_element([](double x) { return double(float(x)); })},
               {{randint({2, 3}, 2)}, to(DType::boolean)}};
  c.order = 2;
  c.step = 1e-3;            // the round trip through f32 leaves steps of 1e-7 in a function that is linear otherwise
  c.grad_tolerance = 1e-3;  // hence finite differences accurate to 1e-7 / 1e-3
}

OP_CASE(pow) {
  c.fn = [](In in) { return Tensors{pow(in[0], in[1])}; };
  c.naive = per_element2([](double a, double b) { return std::pow(a, b); });
  c.samples = {{{uniform({2, 3}, 0.5, 2), uniform({3}, -2, 2)}},
               {{uniform({4, 1}, 0.5, 2), randn({1, 5})}},
               {{uniform({2, 3, 5, 7}, 0.5, 2), Tensor::scalar(2, DType::f64)}}};
}

namespace {
void choice(OpCase& c, Tensor (*f)(const Tensor&, const Tensor&), double (*reference)(double, double)) {
  c.fn = [f](In in) { return Tensors{f(in[0], in[1])}; };
  c.naive = per_element2(reference);
  c.samples = {{{randn({2, 3}), randn({3}, 2)}},
               {{randn({4, 1}), randn({1, 5}, 2)}},
               {{randn({70001}), randn({70001}, 2)}},
               {{randn({2, 3, 5, 7}), randn({3, 1, 1}, 2)}},
               {{randn({0}), randn({1}, 2)}}};
}
/// As choice, without derivatives; small whole numbers give ties.
void comparison(OpCase& c, Tensor (*f)(const Tensor&, const Tensor&), double (*reference)(double, double)) {
  choice(c, f, reference);
  c.order = 0;
  c.samples.push_back({{randint({6, 7}, 4), randint({7}, 4, 2)}});
  c.samples.push_back({{cast(randint({6, 7}, 4), DType::f64), cast(randint({7}, 4, 2), DType::f64)}});
  c.errors = {{c.name + ": dtypes differ", [f] { f(randn({2}), randint({2}, 3)); }}};
}
Tensor coin(const Shape& shape, std::uint64_t seed = 1) { return cast(randint(shape, 2, seed), DType::boolean); }
void logical(OpCase& c, Tensor (*f)(const Tensor&, const Tensor&), double (*reference)(double, double)) {
  c.order = 0;
  c.fn = [f](In in) { return Tensors{f(in[0], in[1])}; };
  c.naive = per_element2(reference);
  c.samples = {{{coin({4, 1}), coin({1, 5}, 2)}}, {{coin({}), coin({3}, 2)}}, {{coin({301}), coin({301}, 2)}}};
  c.errors = {{c.name + ": inputs must be bool", [f] { f(randn({2}), randn({2})); }}};
}
}  // namespace

OP_CASE(maximum) {
  choice(c, maximum, [](double a, double b) { return std::max(a, b); });
}
OP_CASE(minimum) {
  choice(c, minimum, [](double a, double b) { return std::min(a, b); });
}
OP_CASE(equal) {
  comparison(c, equal, [](double a, double b) { return double(a == b); });
}
OP_CASE(not_equal) {
  comparison(c, not_equal, [](double a, double b) { return double(a != b); });
}
OP_CASE(less) {
  comparison(c, less, [](double a, double b) { return double(a < b); });
}
OP_CASE(less_equal) {
  comparison(c, less_equal, [](double a, double b) { return double(a <= b); });
}
OP_CASE(logical_and) {
  logical(c, logical_and, [](double a, double b) { return double(a != 0 && b != 0); });
}
OP_CASE(logical_or) {
  logical(c, logical_or, [](double a, double b) { return double(a != 0 || b != 0); });
}
OP_CASE(logical_not) {
  c.order = 0;
  c.fn = [](In in) { return Tensors{logical_not(in[0])}; };
  c.naive = per_element([](double x) { return double(x == 0); });
  c.samples = {{{coin({4, 5})}}, {{coin({})}}, {{coin({0})}}};
  c.errors = {{"logical_not: inputs must be bool", [] { logical_not(randn({2})); }}};
}

OP_CASE(where) {
  c.fn = [](In in) { return Tensors{where(in[0], in[1], in[2])}; };
  c.naive = [](In in) {
    const auto product = per_element2([](double a, double b) { return a * b; });
    const auto sum = per_element2([](double a, double b) { return a + b; });
    const Tensors chosen = product(Tensors{in[0], in[1]});
    const Tensors other = product(Tensors{per_element([](double x) { return 1 - x; })(in.first(1))[0], in[2]});
    return sum(Tensors{chosen[0], other[0]});
  };
  c.samples = {{{coin({2, 3}), randn({3}), randn({2, 1}, 2)}},
               {{coin({4, 1}), randn({1, 5}), randn({}, 2)}},
               {{coin({4, 5}), randn({}), randn({4, 5}, 2)}},
               {{coin({70001}), randn({70001}), randn({70001}, 2)}},
               {{coin({3, 1, 1}), randn({2, 3, 5, 7}), randn({2, 3, 5, 7}, 2)}}};
  c.errors = {{"where: the condition must be bool", [] { where(randn({2}), randn({2}), randn({2})); }},
              {"where: dtypes differ", [] { where(coin({2}), randn({2}), randint({2}, 3)); }}};
}
