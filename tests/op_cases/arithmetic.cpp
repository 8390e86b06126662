// tests/op_cases/arithmetic.cpp -- add, sub, mul, div, neg, cast.
#include "autograd/ops/arithmetic.h"

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
