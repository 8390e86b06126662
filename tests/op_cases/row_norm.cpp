// tests/op_cases/row_norm.cpp -- layer_norm and rms_norm.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/nn.h"
#include "autograd/tape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// (x - mean) / sqrt(var + eps) * w + b row by row, or x / sqrt(mean(x^2) + eps) * w.
Function naive_norm(bool centred, double eps) {
  return [=](In in) {
    std::vector<double> v = in[0].values();
    const auto n = static_cast<std::size_t>(in[0].size(-1));
    const auto w = in[1].defined() ? in[1].values() : std::vector<double>(n, 1.0);
    const auto b = centred && in[2].defined() ? in[2].values() : std::vector<double>(n, 0.0);
    for (std::size_t row = 0; n > 0 && row < v.size(); row += n) {
      double mean = 0, var = 0;
      for (std::size_t i = 0; i < n; ++i) mean += centred ? v[row + i] / static_cast<double>(n) : 0.0;
      for (std::size_t i = 0; i < n; ++i) var += std::pow(v[row + i] - mean, 2) / static_cast<double>(n);
      for (std::size_t i = 0; i < n; ++i) v[row + i] = (v[row + i] - mean) / std::sqrt(var + eps) * w[i] + b[i];
    }
    return Tensors{Tensor::from(v, in[0].shape(), DType::f64)};
  };
}
}  // namespace

OP_CASE(layer_norm) {
  c.covers = {"layer_norm", "layer_norm_backward"};
  c.fn = [](In in) { return Tensors{layer_norm(in[0], in[1], in[2])}; };
  c.naive = naive_norm(true, 1e-5);
  c.samples = {{{randn({2, 5}), randn({5}, 2), randn({5}, 3)}},
               {{randn({3, 5}), Tensor(), Tensor()}},
               {{randn({3, 5}), randn({5}, 2), Tensor()}},
               {{randn({7}), randn({7}, 2), randn({7}, 3)}},
               {{randn({2, 3, 5, 7}), randn({7}, 2), randn({7}, 3)}},
               {{randn({0, 4}), randn({4}, 2), randn({4}, 3)}},
               {{randn({3, 0}), randn({0}, 2), randn({0}, 3)}},
               {{randn({301, 233}), randn({233}, 2), randn({233}, 3)}}};
  c.errors = {{"layer_norm: parameter 1 must have shape [3]",
               [] {
                 layer_norm(randn({2, 3}), randn({2}), Tensor());
               }},
              {"layer_norm: x must be [..., n]", [] { layer_norm(randn({}), Tensor(), Tensor()); }},
              {"layer_norm: parameters have x's dtype", [] {
                 layer_norm(randn({2, 3}), cast(randn({3}), DType::f32), Tensor());
               }}};
}

OP_CASE(rms_norm) {
  c.covers = {"rms_norm", "rms_norm_backward"};
  c.fn = [](In in) { return Tensors{rms_norm(in[0], in[1])}; };
  c.naive = naive_norm(false, 1e-6);
  c.samples = {{{randn({2, 5}), randn({5}, 2)}},
               {{randn({3, 5}), Tensor()}},
               {{randn({2, 3, 5, 7}), randn({7}, 2)}},
               {{randn({0, 4}), randn({4}, 2)}},
               {{randn({301, 233}), randn({233}, 2)}}};
  c.errors = {{"rms_norm: parameter 1 must have shape [3]", [] { rms_norm(randn({2, 3}), randn({1, 3})); }}};
}

TEST_CASE("norm: f32 parameters beside bf16 data give bf16 results and f32 parameter gradients") {
  const Tensor x = cast(randn({33, 24}), DType::bf16), u = cast(randn({33, 24}, 5), DType::bf16);
  const Tensor w = cast(randn({24}, 2), DType::f32), b = cast(randn({24}, 3), DType::f32);
  const auto f = [](In in) { return Tensors{layer_norm(in[0], in[1], in[2])}; };
  const bool wants[] = {true, true, true};
  const Tensor in[] = {x, w, b};
  const Tensor exact[] = {cast(x, DType::f64), cast(w, DType::f64), cast(b, DType::f64)};
  const Tensor wide = cast(u, DType::f64);
  for (const bool fused : {true, false}) {
    const FusedScope scope(fused);
    const Tensors y = f(in), g = pull_back(f, in, {&u, 1}, wants), want = pull_back(f, exact, {&wide, 1}, wants);
    CHECK(y[0].dtype() == DType::bf16);
    CHECK(g[0].dtype() == DType::bf16);
    CHECK(g[1].dtype() == DType::f32);
    CHECK(g[2].dtype() == DType::f32);
    CHECK(relative_error(cast(y[0], DType::f64), f(exact)[0]) < 0x1p-8);
    CHECK(relative_error(cast(g[0], DType::f64), want[0]) < 0x1p-8);
    CHECK(relative_error(cast(g[1], DType::f64), want[1]) < 1e-6);
    CHECK(relative_error(cast(g[2], DType::f64), want[2]) < 1e-6);
  }
}
