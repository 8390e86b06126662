// tests/op_cases/transport.cpp -- entropic transport against its iteration in plain loops, and against closed forms.
#include "autograd/ops/transport.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Scalings u, v of the kernel e^(-C / epsilon), fitted in turn (Sinkhorn and Knopp 1967).
Tensors naive_plan(In in, double epsilon, int iterations) {
  const std::int64_t n = in[0].size(-2), m = in[0].size(-1), batches = in[0].numel() / (n * m);
  const auto cost = in[0].values(), rows = in[1].values(), columns = in[2].values();
  std::vector<double> plan;
  const auto at = [](const std::vector<double>& v, std::int64_t i) { return v[static_cast<std::size_t>(i)]; };
  for (std::int64_t b = 0; b < batches; ++b) {
    double mass_rows = 0, mass_columns = 0;
    for (std::int64_t i = 0; i < n; ++i) mass_rows += at(rows, b * n + i);
    for (std::int64_t j = 0; j < m; ++j) mass_columns += at(columns, b * m + j);
    std::vector<double> u(static_cast<std::size_t>(n)), v(static_cast<std::size_t>(m), 1.0);
    const auto k = [&](std::int64_t i, std::int64_t j) { return std::exp(-at(cost, (b * n + i) * m + j) / epsilon); };
    for (int step = 0; step < iterations; ++step) {
      for (std::int64_t i = 0; i < n; ++i) {
        double s = 0;
        for (std::int64_t j = 0; j < m; ++j) s += k(i, j) * at(v, j);
        u[static_cast<std::size_t>(i)] = at(rows, b * n + i) / mass_rows / s;
      }
      for (std::int64_t j = 0; j < m; ++j) {
        double s = 0;
        for (std::int64_t i = 0; i < n; ++i) s += k(i, j) * at(u, i);
        v[static_cast<std::size_t>(j)] = at(columns, b * m + j) / mass_columns / s;
      }
    }
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < m; ++j) plan.push_back(at(u, i) * k(i, j) * at(v, j));
  }
  return {Tensor::from(plan, in[0].shape(), DType::f64)};
}

Sample plan_sample(const Shape& shape, const SinkhornOptions& options) {
  Shape rows = shape, columns = shape;
  rows.erase(shape.rank() - 1);
  columns.erase(shape.rank() - 2);
  return {{uniform(shape, 0, 2), uniform(rows, 0.5, 1.5, 2), uniform(columns, 0.5, 1.5, 3)},
          [=](In in) { return Tensors{sinkhorn(in[0], in[1], in[2], options)}; },
          [=](In in) { return naive_plan(in, options.epsilon, options.iterations); },
          shape.str()};
}
void plan_case(OpCase& c, SinkhornGradient gradient, int iterations) {
  const auto options = [=](double epsilon) {
    return SinkhornOptions{.epsilon = epsilon, .iterations = iterations, .gradient = gradient};
  };
  c.tolerance_f32 = 3e-6;  // exponents of size 10, from potentials that were rounded
  c.samples = {plan_sample({2, 3}, options(1)), plan_sample({3, 2}, options(0.7)),
               plan_sample({2, 2, 3, 4}, options(1)), plan_sample({0, 2, 3}, options(1)),
               plan_sample({40, 300}, options(2))};
}
}  // namespace

OP_CASE(sinkhorn) {
  plan_case(c, SinkhornGradient::unrolled, 3);
  // A single row is its own plan, whatever it costs: its implicit gradient is a rounding error, so not compared.
  c.samples.push_back(plan_sample({1, 4}, {.epsilon = 1, .iterations = 3}));
  c.errors = {{"sinkhorn: needs epsilon > 0 and at least one iteration",
               [] {
                 sinkhorn(randn({2, 2}), {}, {}, {.epsilon = 0});
               }},
              {"sinkhorn: needs costs",
               [] {
                 sinkhorn(randn({2, 0}));
               }},
              {"sinkhorn: computed in f32 or f64 only", [] {
                 sinkhorn(randint({2, 2}, 3));
               }}};
}
OP_CASE(sinkhorn_implicit) { plan_case(c, SinkhornGradient::implicit, 120); }

TEST_CASE("ops: the plan between two symmetric pairs of points is the logistic function of their cost") {
  // Uniform marginals, cost c off the diagonal: P_00 = 1 / (2 (1 + e^(-c / epsilon))).
  for (const double epsilon : {1.0, 0.1, 0.004}) {
    const Tensor cost = Tensor::from(std::vector<double>{0, 1, 1, 0}, {2, 2}, DType::f64);
    const auto p = sinkhorn(cost, {}, {}, {.epsilon = epsilon}).values();
    CHECK(p[0] == doctest::Approx(0.5 / (1 + std::exp(-1 / epsilon))).epsilon(1e-14));
    CHECK(p[1] == doctest::Approx(0.5 / (1 + std::exp(1 / epsilon))).epsilon(1e-12));
  }
}

TEST_CASE("ops: transport between two normal laws has the covariance of the closed form") {
  // Between N(0, s^2) and N(0, t^2) for the cost (x - y)^2 with entropy's weight 2 e^2: the joint law is normal with
  // covariance (sqrt(4 s^2 t^2 + e^4) - e^2) / 2 (Janati et al. 2020).
  const double s = 1, t = 0.6, e2 = 0.5;
  const std::int64_t n = 161;
  const Tensor x = Tensor::from(
      [&] {
        std::vector<double> v;
        for (std::int64_t i = 0; i < n; ++i) v.push_back(-6 + 12 * static_cast<double>(i) / static_cast<double>(n - 1));
        return v;
      }(),
      {n}, DType::f64);
  const auto law = [&](double deviation) { return exp(square(x) * (-0.5 / (deviation * deviation))); };
  const Tensor cost = square(unsqueeze(x, 1) - unsqueeze(x, 0));
  const Tensor p = sinkhorn(cost, law(s), law(t), {.epsilon = 2 * e2, .iterations = 200});
  const double covariance = sum(p * unsqueeze(x, 1) * unsqueeze(x, 0)).item();
  CHECK(covariance == doctest::Approx((std::sqrt(4 * s * s * t * t + e2 * e2) - e2) / 2).epsilon(1e-6));
}

TEST_CASE("ops: at the fixed point implicit and unrolled derivatives of a transport cost agree") {
  const Tensor cost = uniform({5, 4}, 0, 2), rows = uniform({5}, 0.5, 1.5, 2);
  Tensors grads[2];
  for (const int i : {0, 1}) {
    Tape tape;
    const Tensors leaves{tape.watch(cost), tape.watch(rows)};
    const SinkhornOptions options{.epsilon = 0.3, .iterations = 300, .gradient = static_cast<SinkhornGradient>(i)};
    const Tensor p = sinkhorn(leaves[0], leaves[1], {}, options);
    grads[i] = tape.gradients(sum(p * leaves[0] * randn({5, 4}, 5)), leaves);
  }
  for (const std::size_t k : {0u, 1u}) CHECK(relative_error(grads[1][k], grads[0][k]) < 1e-9);
}
