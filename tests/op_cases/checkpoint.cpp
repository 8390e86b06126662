// tests/op_cases/checkpoint.cpp -- a recomputed region of several ops, one of its two results optional.
#include "autograd/checkpoint.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

OP_CASE(checkpoint) {
  const CheckpointFunction region = [](In in) {
    const Tensor h = tanh(in[0] * in[1]);
    return Tensors{h * in[0], {}, sin(h)};
  };
  c.fn = [region](In in) {
    const Tensors out = checkpoint(region, in, 3);
    return Tensors{out[0], out[2]};
  };
  c.naive = [](In in) {
    const std::vector<double> a = in[0].values(), b = in[1].values();
    std::vector<double> first(a.size()), second(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double h = std::tanh(a[i] * b[i]);
      first[i] = h * a[i];
      second[i] = std::sin(h);
    }
    return Tensors{Tensor::from(first, in[0].shape(), DType::f64), Tensor::from(second, in[0].shape(), DType::f64)};
  };
  c.samples = {{{randn({2, 3}, 1), randn({2, 3}, 2)}}, {{randn({}, 3), randn({}, 4)}}, {{randn({0}), randn({0})}}};
  c.errors = {{"gives 3 results", [region] { checkpoint(region, Tensors{randn({2}), randn({2})}, 2); }}};
}
