// tests/op_cases/linalg.cpp -- triangular factors and linear systems against plain loops.
#include "tests/op_cases/linalg_loops.h"

using namespace retort;
using namespace retort::testing;

namespace {
Sample system(const Shape& a, const Shape& b, const Function& fn, const Function& naive) {
  return {{graded(a), randn(b, 2)}, fn, naive, a.str() + b.str()};
}
/// The naive solution of op(a) x = b for equal batches, after `masked` has chosen what of a is read.
template <class F>
Tensor naive_solution(In in, const F& masked) {
  const auto a = grids(in[0]), b = grids(in[1]);
  std::vector<double> out;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const Grid x = eliminated(masked(a[a.size() == 1 ? 0 : i]), b[i]);
    out.insert(out.end(), x.v.begin(), x.v.end());
  }
  return Tensor::from(out, in[1].shape(), DType::f64);
}

Sample triangular(const Shape& a, const Shape& b, bool upper, bool transpose) {
  const auto masked = [=](Grid g) {
    for (std::int64_t i = 0; i < g.rows; ++i)
      for (std::int64_t j = 0; j < g.cols; ++j)
        if (upper ? j < i : j > i) g(i, j) = 0;
    return transpose ? transposed(g) : g;
  };
  return system(
      a, b, [=](In in) { return Tensors{triangular_solve(in[0], in[1], upper, transpose)}; },
      [=](In in) { return Tensors{naive_solution(in, masked)}; });
}
Sample linear_system(const Shape& a, const Shape& b) {
  return system(
      a, b, [](In in) { return Tensors{solve(in[0], in[1])}; },
      [](In in) { return Tensors{naive_solution(in, [](const Grid& g) { return g; })}; });
}

Grid naive_cholesky(const Grid& a) {
  Grid l(a.rows, a.cols);
  for (std::int64_t j = 0; j < a.rows; ++j)
    for (std::int64_t i = j; i < a.rows; ++i) {
      double s = (a(i, j) + a(j, i)) / 2;
      for (std::int64_t p = 0; p < j; ++p) s -= l(i, p) * l(j, p);
      l(i, j) = i == j ? std::sqrt(s) : s / l(j, j);
    }
  return l;
}

/// Gram and Schmidt, twice for good measure.
std::pair<Grid, Grid> naive_qr(const Grid& a) {
  Grid q = a, r(a.cols, a.cols);
  for (std::int64_t j = 0; j < a.cols; ++j) {
    for (int again = 0; again < 2; ++again)
      for (std::int64_t p = 0; p < j; ++p) {
        double dot = 0;
        for (std::int64_t i = 0; i < a.rows; ++i) dot += q(i, p) * q(i, j);
        for (std::int64_t i = 0; i < a.rows; ++i) q(i, j) -= dot * q(i, p);
        r(p, j) += dot;
      }
    double norm = 0;
    for (std::int64_t i = 0; i < a.rows; ++i) norm += q(i, j) * q(i, j);
    r(j, j) = std::sqrt(norm);
    for (std::int64_t i = 0; i < a.rows; ++i) q(i, j) /= r(j, j);
  }
  return {q, r};
}
}  // namespace

OP_CASE(matrix_transpose) {
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{matrix_transpose(in[0])}; };
  c.naive = [](In in) {
    return Tensors{per_matrix(in[0], shape_with(in[0], {in[0].size(-1), in[0].size(-2)}),
                              [](const Grid& g) { return transposed(g).v; })};
  };
  c.samples = {{{randn({3, 2})}}, {{randn({2, 3, 4, 5})}}, {{randn({2, 0, 3})}}};
  c.errors = {{"matrix_transpose: the input must be a matrix", [] { matrix_transpose(randn({3})); }}};
}

OP_CASE(triangle) {
  c.dtypes = {DType::f32};
  const auto sample = [](const Shape& shape, bool upper, double diagonal) {
    return Sample{{randn(shape)},
                  [=](In in) { return Tensors{triangle(in[0], upper, diagonal)}; },
                  [=](In in) {
                    return Tensors{per_matrix(in[0], in[0].shape(), [&](Grid g) {
                      for (std::int64_t i = 0; i < g.rows; ++i)
                        for (std::int64_t j = 0; j < g.cols; ++j)
                          g(i, j) *= i == j ? diagonal : (j > i) == upper ? 1 : 0;
                      return g.v;
                    })};
                  },
                  shape.str()};
  };
  c.samples = {sample({3, 3}, false, 0.5), sample({2, 4, 3}, true, 1), sample({3, 5}, true, 0),
               sample({0, 3, 3}, true, 1), sample({2, 37, 41}, false, 0)};
  c.errors = {{"triangle: computed in f32 or f64 only", [] { triangle(cast(randn({2, 2}), DType::f16)); }}};
}

OP_CASE(cholesky) {
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{cholesky(in[0])}; };
  c.naive = [](In in) {
    return Tensors{per_matrix(in[0], in[0].shape(), [](const Grid& g) { return naive_cholesky(g).v; })};
  };
  // Not symmetric on purpose: only the symmetric part counts. That of graded() is positive definite.
  c.samples = {{{graded({4, 4}, 0.1)}}, {{graded({2, 3, 5, 5}, 0.1)}}, {{graded({1, 1}, 0.1)}},
               {{graded({0, 3, 3})}},   {{graded({2, 0, 0})}},         {{graded({150, 150}, 0.02)}}};
  c.tolerance_f32 = 3e-6;  // condition numbers up to 150
  c.errors = {{"cholesky: matrix 1 of the batch is not positive definite; got pivot 2",
               [] {
                 std::vector<double> v = graded({2, 3, 3}, 0).values();
                 v[17] = -1;
                 cholesky(Tensor::from(v, {2, 3, 3}, DType::f64));
               }},
              {"got pivot 0",
               [] {
                 cholesky(Tensor::full({2, 2}, NAN));
               }},
              {"cholesky: matrices must be square",
               [] {
                 cholesky(randn({2, 3}));
               }},
              {"cholesky: computed in f32 or f64 only",
               [] {
                 cholesky(cast(randn({2, 2}), DType::bf16));
               }},
              {"cholesky: input 0 must be a matrix", [] { cholesky(randn({2})); }}};
}

OP_CASE(triangular_solve) {
  c.dtypes = {DType::f32};
  c.tolerance_f32 = 3e-6;  // condition numbers up to 40
  c.samples = {triangular({3, 3}, {3, 2}, false, false),       triangular({3, 3}, {3, 2}, true, true),
               triangular({2, 4, 4}, {2, 4, 3}, true, false),  triangular({2, 4, 4}, {2, 4, 3}, false, true),
               triangular({3, 3}, {5, 3, 1}, false, false),    triangular({3, 3}, {3, 0}, false, false),
               triangular({0, 3, 3}, {0, 3, 2}, false, false), triangular({40, 40}, {40, 7}, false, true)};
  c.errors = {{"triangular_solve: matrix 0 of the batch is singular; got 0 or no finite number at diagonal position 0",
               [] {
                 triangular_solve(Tensor::zeros({2, 2}), Tensor::zeros({2, 1}));
               }},
              {"triangular_solve: the right-hand side must have 2 rows", [] {
                 triangular_solve(randn({2, 2}), randn({3, 1}));
               }}};
}

OP_CASE(solve) {
  c.dtypes = {DType::f32};
  c.tolerance_f32 = 3e-6;  // condition numbers up to 40
  c.samples = {
      linear_system({3, 3}, {3, 2}),
      linear_system({2, 4, 4}, {2, 4, 3}),
      linear_system({3, 3}, {5, 3, 1}),
      linear_system({0, 0}, {0, 2}),
      linear_system({40, 40}, {40, 7}),
      {{graded({2, 3, 3})},
       [](In in) { return Tensors{inverse(in[0])}; },
       [](In in) {
         return Tensors{naive_solution(std::array{in[0], identities(in[0].shape())}, [](const Grid& g) { return g; })};
       },
       "inverse"},
      {{randn({4, 4}, 7), randn({4, 1})},
       linear_system({4, 4}, {4, 1}).fn,
       linear_system({4, 4}, {4, 1}).naive,
       "pivoting"}};
  c.errors = {{"solve: matrix 1 of the batch is singular; got 0 or no finite number as pivot 1",
               [] {
                 const std::vector<double> v{1, 0, 0, 1, 1, 2, 2, 4};
                 inverse(Tensor::from(v, {2, 2, 2}));
               }},
              {"solve: shapes do not broadcast",
               [] {
                 solve(graded({2, 3, 3}), randn({4, 3, 1}));
               }},
              {"solve: dtypes differ", [] {
                 solve(graded({3, 3}), cast(randn({3, 1}), DType::f32));
               }}};
}

OP_CASE(qr) {
  c.dtypes = {DType::f32};
  c.fn = [](In in) {
    const auto [q, r] = qr(in[0]);
    return Tensors{q, r};
  };
  c.naive = [](In in) {
    return Tensors{per_matrix(in[0], in[0].shape(), [](const Grid& g) { return naive_qr(g).first.v; }),
                   per_matrix(in[0], shape_with(in[0], {in[0].size(-1), in[0].size(-1)}),
                              [](const Grid& g) { return naive_qr(g).second.v; })};
  };
  c.tolerance_f32 = 3e-6;  // condition numbers up to 40
  c.samples = {{{graded({4, 3})}},
               {{graded({3, 3})}},
               {{graded({2, 3, 5, 2})}},
               {{graded({0, 4, 3})}},
               {{graded({70, 40}, 0.1)}}};
  c.errors = {{"qr: at least as many rows as columns", [] { qr(randn({2, 3})); }}};
}
