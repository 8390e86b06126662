// tests/op_cases/matrix_functions.cpp -- the exponential by its series, reflections one by one.
#include "autograd/ops/matrix_functions.h"

#include "tests/op_cases/linalg_loops.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// (sum_k (a / 2^s)^k / k!)^(2^s) with terms until they vanish.
std::vector<double> series(Grid a) {
  for (double& v : a.v) v /= 64;
  Grid sum(a.rows, a.rows), term(a.rows, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i) sum(i, i) = term(i, i) = 1;
  for (int k = 1; k < 30; ++k) {
    term = product(term, a);
    for (std::size_t i = 0; i < term.v.size(); ++i) sum.v[i] += term.v[i] /= k;
  }
  for (int i = 0; i < 6; ++i) sum = product(sum, sum);
  return sum.v;
}
/// Minus the first columns of the product of reflections, applied to the identity from the last one on.
std::vector<double> reflected(const Grid& x) {
  Grid q(x.rows, x.cols);
  for (std::int64_t j = 0; j < x.cols; ++j) q(j, j) = 1;
  for (std::int64_t r = x.cols; r-- > 0;) {
    std::vector<double> v(static_cast<std::size_t>(x.rows), 0.0);
    double length = 0;
    for (std::int64_t i = r; i < x.rows; ++i) {
      v[static_cast<std::size_t>(i)] = i == r ? 1 : x(i, r);
      length += v[static_cast<std::size_t>(i)] * v[static_cast<std::size_t>(i)];
    }
    for (std::int64_t j = 0; j < x.cols; ++j) {
      double dot = 0;
      for (std::int64_t i = 0; i < x.rows; ++i) dot += v[static_cast<std::size_t>(i)] * q(i, j);
      for (std::int64_t i = 0; i < x.rows; ++i) q(i, j) -= 2 * dot / length * v[static_cast<std::size_t>(i)];
    }
  }
  for (double& v : q.v) v = -v;
  return q.v;
}
}  // namespace

OP_CASE(matrix_exp) {
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{matrix_exp(in[0])}; };
  c.naive = [](In in) { return Tensors{per_matrix(in[0], in[0].shape(), series)}; };
  c.tolerance_f32 = 2e-6;
  c.samples = {{{randn({3, 3}) * 0.5}}, {{randn({2, 2, 4, 4}) * 0.1}}, {{randn({1, 1})}},        {{randn({0, 3, 3})}},
               {{randn({2, 0, 0})}},    {{randn({5, 5}) * 2.0}},       {{randn({12, 12}) * 0.5}}};
  c.errors = {{"matrix_exp: matrices must be square",
               [] {
                 matrix_exp(randn({2, 3}));
               }},
              {"matrix_exp: computed in f32 or f64 only", [] {
                 matrix_exp(cast(randn({2, 2}), DType::f16));
               }}};
}

OP_CASE(orthogonal) {
  c.covers = {"triangular_solve"};
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{orthogonal(in[0])}; };
  c.naive = [](In in) { return Tensors{per_matrix(in[0], in[0].shape(), reflected)}; };
  c.samples = {
      {{randn({4, 3})}}, {{randn({2, 2, 3, 3})}}, {{randn({5, 1})}}, {{randn({0, 4, 2})}}, {{randn({40, 17})}}};
  c.errors = {{"orthogonal: needs matrices with at least as many rows as columns", [] { orthogonal(randn({2, 3})); }}};
}

TEST_CASE("ops: matrix_exp turns by an angle, undoes itself and gives NaN for what is not finite") {
  const double t = 20;
  const auto turn = matrix_exp(Tensor::from(std::vector<double>{0, -t, t, 0}, {2, 2}, DType::f64)).values();
  CHECK(turn[0] == doctest::Approx(std::cos(t)).epsilon(1e-12));
  CHECK(turn[2] == doctest::Approx(std::sin(t)).epsilon(1e-12));
  const Tensor a = randn({7, 7});
  CHECK(relative_error(matmul(matrix_exp(a), matrix_exp(-a)), identities({7, 7})) < 1e-12);
  CHECK(std::isnan(matrix_exp(Tensor::full({2, 2}, INFINITY)).values()[0]));
}

TEST_CASE("ops: orthogonal has orthonormal columns and is the identity at 0") {
  const Tensor q = orthogonal(randn({9, 6}) * 5.0);
  CHECK(relative_error(matmul(q, q, true), identities({6, 6})) < 1e-14);
  CHECK(orthogonal(Tensor::zeros({3, 3})).values() == identities({3, 3}).values());
}
