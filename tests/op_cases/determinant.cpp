// tests/op_cases/determinant.cpp -- LU factors and determinants against elimination and expansion by plain loops.
#include "autograd/ops/determinant.h"

#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "tests/op_cases/linalg_loops.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Doolittle's elimination, the largest entry of a column first: l, u and the order of rows.
struct Factors {
  Grid l, u;
  std::vector<double> order;
};
Factors naive_lu(Grid a) {
  const std::int64_t n = a.rows;
  Factors f{Grid(n, n), Grid(n, n), {}};
  for (std::int64_t i = 0; i < n; ++i) f.order.push_back(static_cast<double>(i));
  for (std::int64_t p = 0; p < n; ++p) {
    std::int64_t best = p;
    for (std::int64_t i = p; i < n; ++i)
      if (std::abs(a(i, p)) > std::abs(a(best, p))) best = i;
    std::swap(f.order[static_cast<std::size_t>(p)], f.order[static_cast<std::size_t>(best)]);
    for (std::int64_t j = 0; j < n; ++j) {
      std::swap(a(p, j), a(best, j));
      std::swap(f.l(p, j), f.l(best, j));
    }
    for (std::int64_t i = p + 1; i < n; ++i) {
      f.l(i, p) = a(i, p) / a(p, p);
      for (std::int64_t j = 0; j < n; ++j) a(i, j) -= f.l(i, p) * a(p, j);
    }
  }
  for (std::int64_t i = 0; i < n; ++i) {
    f.l(i, i) = 1;
    for (std::int64_t j = i; j < n; ++j) f.u(i, j) = a(i, j);
  }
  return f;
}
Grid without(const Grid& a, std::int64_t row, std::int64_t column) {
  Grid m(a.rows - 1, a.cols - 1);
  for (std::int64_t i = 0; i < m.rows; ++i)
    for (std::int64_t j = 0; j < m.cols; ++j) m(i, j) = a(i + (i >= row), j + (j >= column));
  return m;
}
/// Laplace's expansion along the first row.
double expanded(const Grid& a) {
  if (a.rows == 0) return 1;
  double sum = 0;
  for (std::int64_t j = 0; j < a.cols; ++j) sum += (j % 2 ? -1 : 1) * a(0, j) * expanded(without(a, 0, j));
  return sum;
}
std::vector<double> naive_cofactors(const Grid& a) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < a.cols; ++j) v.push_back(((i + j) % 2 ? -1 : 1) * expanded(without(a, i, j)));
  return v;
}
/// An n x n matrix of the given rank.
Tensor deficient(std::int64_t n, std::int64_t rank) { return matmul(randn({n, rank}, 3), randn({rank, n}, 4)); }
}  // namespace

OP_CASE(lu) {
  c.dtypes = {DType::f32};
  c.tolerance_f32 = 5e-6;  // condition numbers up to 50
  c.fn = [](In in) {
    const auto [l, u, permutation] = lu(in[0]);
    return Tensors{l, u, permutation};
  };
  c.naive = [](In in) {
    const Shape square = in[0].shape();
    return Tensors{
        per_matrix(in[0], square, [](const Grid& g) { return naive_lu(g).l.v; }),
        per_matrix(in[0], square, [](const Grid& g) { return naive_lu(g).u.v; }),
        per_matrix(in[0], shape_with(in[0], {in[0].size(-1)}), [](const Grid& g) { return naive_lu(g).order; })};
  };
  c.samples = {
      {{randn({4, 4}, 7)}}, {{randn({2, 3, 3, 3})}}, {{graded({20, 20})}}, {{randn({0, 3, 3})}}, {{randn({1, 1})}}};
  c.errors = {{"lu: matrices must be square",
               [] {
                 lu(randn({2, 3}));
               }},
              {"lu: computed in f32 or f64 only", [] {
                 lu(cast(randn({2, 2}), DType::f16));
               }}};
}

OP_CASE(det) {
  c.covers = {"det", "det_cofactor"};
  c.dtypes = {DType::f32};
  c.fn = [](In in) { return Tensors{det(in[0])}; };
  c.naive = [](In in) {
    return Tensors{
        per_matrix(in[0], shape_with(in[0], {}), [](const Grid& g) { return std::vector<double>{expanded(g)}; })};
  };
  c.tolerance_f32 = 1e-5;  // condition numbers up to 50 in the random batch
  c.samples = {{{randn({3, 3}, 5)}},
               {{randn({2, 3, 4, 4})}},
               {{randn({1, 1})}},
               {{randn({0, 3, 3})}},
               {{graded({6, 6})}},
               {{randn({2, 3, 4, 4})},
                [](In in) { return Tensors{det_cofactor(in[0])}; },
                [](In in) { return Tensors{per_matrix(in[0], in[0].shape(), naive_cofactors)}; },
                "cofactors"}};
  c.errors = {{"det: matrices must be square",
               [] {
                 det(randn({2, 3}));
               }},
              {"det_cofactor: matrices must be square", [] {
                 det_cofactor(randn({2, 3}));
               }}};
}

OP_CASE(slogdet) {
  c.dtypes = {DType::f32};
  c.fn = [](In in) {
    const auto [sign, logabs] = slogdet(in[0]);
    return Tensors{sign, logabs};
  };
  c.naive = [](In in) {
    const auto part = [&](auto f) {
      return per_matrix(in[0], shape_with(in[0], {}),
                        [f](const Grid& g) { return std::vector<double>{f(expanded(g))}; });
    };
    return Tensors{part([](double d) { return d > 0 ? 1.0 : -1.0; }),
                   part([](double d) { return std::log(std::abs(d)); })};
  };
  c.tolerance_f32 = 1e-5;
  c.samples = {{{randn({3, 3}, 5)}}, {{randn({2, 3, 4, 4})}}, {{graded({6, 6})}}};
  c.errors = {{"slogdet: matrices must be square", [] { slogdet(randn({2, 3})); }}};
}

TEST_CASE("ops: a singular matrix has determinant 0, and its cofactors for a derivative") {
  for (const std::int64_t rank : {4, 3, 2}) {
    const Tensor a = deficient(5, rank);
    Tape tape;
    const Tensor leaf = tape.watch(a);
    const Tensor g = tape.gradients(det(leaf), std::span(&leaf, 1))[0];
    const Tensor want = Tensor::from(naive_cofactors(grids(a)[0]), {5, 5}, DType::f64);
    if (rank == 4) CHECK(relative_error(g, want) < 1e-12);
    for (const double v : (g - want).values()) CHECK(std::abs(v) < 1e-12);
  }
  CHECK(det(randn({2, 0, 0})).values() == std::vector<double>{1, 1});
  CHECK(slogdet(randn({2, 0, 0})).logabs.values() == std::vector<double>{0, 0});
  const auto [sign, logabs] = slogdet(Tensor::zeros({2, 2}));
  CHECK(sign.item() == 0);
  CHECK(logabs.item() == -INFINITY);
}

TEST_CASE("ops: the permuted rows of a matrix are the product of its LU factors") {
  const Tensor a = randn({3, 60, 60});
  const auto [l, u, permutation] = lu(a);
  const Tensor rows = gather(a, 1, broadcast_to(unsqueeze(permutation, 2), a.shape()));
  CHECK(relative_error(matmul(l, u), rows) < 1e-14);
}
