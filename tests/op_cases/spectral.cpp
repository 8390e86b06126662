// tests/op_cases/spectral.cpp -- singular value and eigenvalue decompositions, through functions of them that do not
// depend on the arbitrary signs of the vectors.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg_checks.h"
#include "tests/op_cases/linalg_loops.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// x sin(y) / y at y^2 = q, by its series: the sine of a spectrum when x is the matrix and q its square.
Grid sine_series(const Grid& x, const Grid& q) {
  Grid term = x, total = x;
  for (int i = 1; i < 30; ++i) {
    term = product(term, q);
    for (std::size_t at = 0; at < term.v.size(); ++at) {
      term.v[at] /= -2.0 * i * (2 * i + 1);
      total.v[at] += term.v[at];
    }
  }
  return total;
}
Grid symmetrised(Grid g) {
  const Grid t = transposed(g);
  for (std::size_t at = 0; at < g.v.size(); ++at) g.v[at] = (g.v[at] + t.v[at]) / 2;
  return g;
}

Tensors spectrum_of(const Tensor& a, bool singular) {
  const std::int64_t k = std::min(a.size(-1), a.size(-2));
  return {per_matrix(a, shape_with(a, {k}), [&](const Grid& g) {
    if (!singular) return jacobi_eigenvalues(symmetrised(g));
    auto w = jacobi_eigenvalues(g.rows < g.cols ? product(g, transposed(g)) : product(transposed(g), g));
    std::reverse(w.begin(), w.end());
    for (double& x : w) x = std::sqrt(x);
    return w;
  })};
}

/// The decomposition put together again, its vectors' products, and its values.
Tensors svd_identities(In in) {
  const auto [u, s, vh] = svd(in[0]);
  return {matmul(u * as_row(s), vh), matmul(u, u, true), matmul(vh, vh, false, true), s};
}
Tensors naive_svd_identities(In in) {
  const std::int64_t k = std::min(in[0].size(-1), in[0].size(-2));
  const Tensor identity = identities(shape_with(in[0], {k, k}));
  return {in[0], identity, identity, spectrum_of(in[0], true)[0]};
}
/// u sin(s) vh, u s^2 u^T and v s^2 v^T: gradients of everything, signs of nothing.
Tensors svd_functions(In in) {
  const auto [u, s, vh] = svd(in[0]);
  return {matmul(u * as_row(sin(s)), vh), matmul(u * as_row(s * s), u, false, true),
          matmul(vh * as_column(s * s), vh, true)};
}
Tensors naive_svd_functions(In in) {
  const std::int64_t m = in[0].size(-2), n = in[0].size(-1);
  return {per_matrix(in[0], in[0].shape(), [](const Grid& g) { return sine_series(g, product(transposed(g), g)).v; }),
          per_matrix(in[0], shape_with(in[0], {m, m}), [](const Grid& g) { return product(g, transposed(g)).v; }),
          per_matrix(in[0], shape_with(in[0], {n, n}), [](const Grid& g) { return product(transposed(g), g).v; })};
}

Tensors eigh_identities(In in) {
  const auto [w, v] = eigh(in[0]);
  return {matmul(v * as_row(w), v, false, true), matmul(v, v, true), w};
}
Tensors naive_eigh_identities(In in) {
  const Tensor symmetric = per_matrix(in[0], in[0].shape(), [](const Grid& g) { return symmetrised(g).v; });
  return {symmetric, identities(in[0].shape()), spectrum_of(in[0], false)[0]};
}
Tensors eigh_functions(In in) {
  const auto [w, v] = eigh(in[0]);
  return {matmul(v * as_row(sin(w)), v, false, true), w * w};
}
Tensors naive_eigh_functions(In in) {
  const Tensor w = spectrum_of(in[0], false)[0];
  const auto sine = [](const Grid& g) {
    const Grid s = symmetrised(g);
    return sine_series(s, product(s, s)).v;
  };
  return {per_matrix(in[0], in[0].shape(), sine), w * w};
}
}  // namespace

OP_CASE(svd) {
  c.dtypes = {DType::f32};
  c.fn = svd_identities;
  c.naive = naive_svd_identities;
  c.tolerance_f32 = 3e-6;  // gaps of one in fifteen
  c.samples = {{{graded({3, 3}, 0.1)}, svd_functions, naive_svd_functions, "functions of all"},
               {{graded({3, 2}, 0.1)}, svd_functions, naive_svd_functions, "functions, tall"},
               {{graded({2, 2, 4}, 0.1)}, svd_functions, naive_svd_functions, "functions, wide"},
               {{graded({4, 4}, 0.1)}},
               {{graded({2, 3, 5}, 0.1)}},
               {{graded({2, 5, 3}, 0.1)}},
               {{graded({0, 3, 2})}},
               {{graded({2, 0, 3})}},
               {{graded({40, 15}, 0.01)}}};
  c.errors = {{"svd: matrix 0 of the batch has no decomposition",
               [] {
                 svd(Tensor::full({2, 2}, INFINITY));
               }},
              {"svd: computed in f32 or f64 only",
               [] {
                 svd(cast(randn({2, 2}), DType::f16));
               }},
              {"divide_by_gaps: value 0 of matrix 0 of the batch is met by another one", [] {
                 const Tensor one = identities({3, 3});
                 const Tensors cot(3, one);
                 const bool wants[] = {true};
                 pull_back(svd_functions, std::span(&one, 1), cot, wants);
               }}};
}

OP_CASE(svdvals) {
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{svdvals(in[0])}; };
  c.naive = [](In in) { return spectrum_of(in[0], true); };
  c.tolerance_f32 = 3e-6;  // gaps of one in fifteen
  c.order = 2;
  c.samples = {{{graded({3, 3}, 0.1)}}, {{graded({2, 3, 5}, 0.1)}}, {{graded({0, 3, 2})}}, {{graded({40, 15}, 0.01)}}};
}

OP_CASE(eigh) {
  c.dtypes = {DType::f32};
  c.fn = eigh_identities;
  c.naive = naive_eigh_identities;
  c.tolerance_f32 = 3e-6;  // gaps of one in fifteen
  c.samples = {{{graded({3, 3}, 0.1)}, eigh_functions, naive_eigh_functions, "functions of all"},
               {{graded({2, 4, 4}, 0.1)}, eigh_functions, naive_eigh_functions, "functions, batch"},
               {{graded({4, 4}, 0.1)}},
               {{graded({2, 3, 2, 2}, 0.1)}},
               {{graded({0, 3, 3})}},
               {{graded({15, 15}, 0.01)}}};
  c.errors = {{"eigh: matrices must be square",
               [] {
                 eigh(randn({2, 3}));
               }},
              {"eigh: matrix 1 of the batch has no decomposition", [] {
                 eigh(Tensor::from(std::vector<double>{1, 0, 0, 1, 1, NAN, 0, 1}, {2, 2, 2}, DType::f64));
               }}};
}

OP_CASE(eigvalsh) {
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{eigvalsh(in[0])}; };
  c.naive = [](In in) { return spectrum_of(in[0], false); };
  c.tolerance_f32 = 3e-6;  // gaps of one in fifteen
  c.order = 2;
  c.samples = {
      {{graded({3, 3}, 0.1)}}, {{graded({2, 3, 4, 4}, 0.1)}}, {{graded({0, 3, 3})}}, {{graded({15, 15}, 0.01)}}};
}

OP_CASE(divide_by_gaps) {
  c.dtypes = {DType::f32};
  const auto sample = [](const Shape& shape, int power) {
    Shape values = shape;
    values.erase(values.rank() - 1);
    Tensor s = uniform(values, 0.0, 0.3);
    std::vector<double> v = s.values();
    for (std::size_t i = 0; i < v.size(); ++i) v[i] += static_cast<double>(i);
    s = Tensor::from(v, values, DType::f64);
    return Sample{{randn(shape), s},
                  [=](In in) { return Tensors{divide_by_gaps(in[0], in[1], power)}; },
                  [=](In in) {
                    const auto t = in[1].values();
                    std::size_t first = 0;
                    return Tensors{per_matrix(in[0], in[0].shape(), [&](Grid g) {
                      const auto at = [&](std::int64_t i) {
                        return std::pow(t[first + static_cast<std::size_t>(i)], power);
                      };
                      for (std::int64_t i = 0; i < g.rows; ++i)
                        for (std::int64_t j = 0; j < g.cols; ++j) g(i, j) = i == j ? 0.0 : g(i, j) / (at(j) - at(i));
                      first += static_cast<std::size_t>(g.rows);
                      return g.v;
                    })};
                  },
                  shape.str()};
  };
  c.samples = {sample({3, 3}, 2), sample({2, 4, 4}, 1), sample({0, 3, 3}, 1), sample({1, 1}, 2)};
  c.errors = {{"divide_by_gaps: value 0 of matrix 0",
               [] {
                 divide_by_gaps(randn({2, 2}), Tensor::zeros({2}, DType::f64));
               }},
              {"divide_by_gaps: power must be 1 or 2", [] {
                 divide_by_gaps(randn({2, 2}), randn({2}), 3);
               }}};
}

TEST_CASE("linalg: values alone have derivatives where they coincide") {
  const Tensor one = identities({3, 3});
  const bool wants[] = {true};
  const Tensor cot = Tensor::full({3}, 1.0, DType::f64);
  const auto singular =
      pull_back([](In in) { return Tensors{svdvals(in[0])}; }, std::span(&one, 1), std::span(&cot, 1), wants);
  const auto eigen =
      pull_back([](In in) { return Tensors{eigvalsh(in[0])}; }, std::span(&one, 1), std::span(&cot, 1), wants);
  CHECK(relative_error(singular[0], one) < 1e-14);
  CHECK(relative_error(eigen[0], one) < 1e-14);
}
