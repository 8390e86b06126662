// tests/distill/diffusion/step_test.cpp -- steps against exact flows: orders of convergence, exact cases, keyed noise.
#include "distill/diffusion/step.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/closed_form.h"
#include "distill/diffusion/grid.h"
#include "distill/diffusion/noising.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Step step(const std::string& text) { return make_step(parse_call(text, "test")); }
Tensor ids(std::int64_t n, std::int64_t first = 0) {
  std::vector<std::int64_t> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(first + i);
  return Tensor::of<std::int64_t>(v, {n});
}
Tensor times(std::int64_t n, double t) { return Tensor::full({n}, t, DType::f64); }

Predictor predictor(const ClosedForm& q, const NoiseSchedule& s, Space space = Space::x0) {
  return {space, [&q, &s, space](const Tensor& x, const Tensor& t) { return q.predict(space, x, t, s); }};
}

/// Error of a sampler with n steps against the exact flow of a Gaussian, between two inner times.
double error_of(const std::string& name, const NoiseSchedule& s, int n, Space space = Space::x0) {
  const ClosedForm q = gaussian_teacher(Tensor::from(std::vector{.7, -.4}, {2}, DType::f64), .3);
  const double begin = std::lerp(s.t_min(), s.t_max(), .15), end = std::lerp(s.t_min(), s.t_max(), .85);
  const Tensor x = randn({3, 2}, 5);
  const std::vector<double> grid = uniform_grid(n + 1, begin, end);
  const Tensor got = sample(predictor(q, s, space), x, grid, step(name), s, Rng(1), ids(3));
  return relative_error(got, q.flow_map(x, times(3, end), times(3, begin), s));
}
/// log2 of the ratio of errors at n and 2 n steps.
double order_of(const std::string& name, const NoiseSchedule& s) {
  return std::log2(error_of(name, s, 80) / error_of(name, s, 160));
}
}  // namespace

TEST_CASE("diffusion step: ddim, euler and dpm1 converge with order 1, heun with order 2") {
  const NoiseSchedule all[] = {NoiseSchedule::ve(.01, 3), NoiseSchedule::flow(), NoiseSchedule::trig(.5),
                               NoiseSchedule::vp_continuous(), NoiseSchedule::cosine()};
  for (const NoiseSchedule& s : all) {
    INFO(static_cast<int>(s.kind()));
    for (const char* name : {"euler", "ddim", "dpm1"}) CHECK(order_of(name, s) == doctest::Approx(1).epsilon(.1));
    CHECK(order_of("heun", s) == doctest::Approx(2).epsilon(.1));
    CHECK(error_of("ddim", s, 20) > 1e-3);  // not exact on a Gaussian
    // The answer may come in any space, and n(k) is a finer grid.
    for (const Space space : {Space::eps, Space::v, Space::score})
      CHECK(error_of("heun", s, 20, space) == doctest::Approx(error_of("heun", s, 20)).epsilon(1e-6));
    CHECK(error_of("n(4 heun)", s, 20) == doctest::Approx(error_of("heun", s, 80)).epsilon(1e-6));
  }
}

TEST_CASE("diffusion step: ddim is exact at any size on one data point, euler only along straight paths") {
  const ClosedForm point = empirical_teacher(randn({1, 3}, 2));
  const Tensor x = randn({2, 3}, 3);
  const auto error = [&](const char* name, const NoiseSchedule& s, double from, double to) {
    const Tensor t = times(2, std::lerp(s.t_min(), s.t_max(), from)), e = times(2, std::lerp(s.t_min(), s.t_max(), to));
    return relative_error(step(name).run(predictor(point, s), x, t, e, s, {}), point.flow_map(x, t, e, s));
  };
  for (const NoiseSchedule& s :
       {NoiseSchedule::ve(.1, 5), NoiseSchedule::flow(), NoiseSchedule::trig(.5), NoiseSchedule::vp()})
    for (const char* name : {"ddim", "dpm1", "n(3 ddim)"}) {
      CHECK(error(name, s, .9, .1) < 1e-11);
      CHECK(error(name, s, .3, .8) < 1e-11);  // backwards too
    }
  CHECK(error("euler", NoiseSchedule::flow(), .9, .1) < 1e-12);
  CHECK(error("euler", NoiseSchedule::vp(), .9, .1) < 1e-11);
  CHECK(error("euler", NoiseSchedule::trig(.5), .9, .1) > 1e-2);
}

TEST_CASE("diffusion step: all deterministic steps reach the clean end and give the denoised sample there") {
  const ClosedForm point = empirical_teacher(randn({1, 3}, 2));
  const Tensor x = randn({2, 3}, 3), want = broadcast_to(randn({1, 3}, 2), {2, 3});
  for (const NoiseSchedule& s : {NoiseSchedule::ve(.1, 5), NoiseSchedule::flow(), NoiseSchedule::vp()})
    for (const char* name : {"euler", "ddim", "heun", "dpm1"})
      CHECK(relative_error(step(name).run(predictor(point, s), x, times(2, s.t_max()), times(2, s.clean()), s, {}),
                           want) < 1e-9);
  // Rows of one batch may end at different times: one at the end, one before it.
  const NoiseSchedule ve = NoiseSchedule::ve(.1, 5);
  const Tensor ends = Tensor::from(std::vector{0., 1.}, {2}, DType::f64), from = times(2, 4);
  const ClosedForm q = gaussian_teacher(Tensor::zeros({3}, DType::f64), .3);
  const Tensor both = step("heun").run(predictor(q, ve), x, from, ends, ve, {});
  const Tensor first = step("euler").run(predictor(q, ve), x, from, ends, ve, {});
  const Tensor second = step("heun").run(predictor(q, ve), x, from, times(2, 1), ve, {});
  CHECK(slice(both, 0, 0, 1).values() == slice(first, 0, 0, 1).values());
  // No network is asked about a state without noise.
  const Predictor never_clean{Space::x0, [&](const Tensor& at, const Tensor& t) {
                                CHECK(min(t).item() > 0);
                                return q.predict(Space::x0, at, t, ve);
                              }};
  CHECK(step("heun").run(never_clean, x, from, ends, ve, {}).values() == both.values());
  CHECK(slice(both, 0, 1, 2).values() == slice(second, 0, 1, 2).values());
}

TEST_CASE("diffusion step: progressive distillation's target returns the two-step state by one ddim step") {
  const NoiseSchedule s = NoiseSchedule::cosine();
  const ClosedForm q = gaussian_teacher(Tensor::from(std::vector{.7, -.4}, {2}, DType::f64), .3);
  const Tensor z = randn({2, 2}, 6), t = times(2, .8), end = times(2, .6);
  const Tensor reached = step("n(2 ddim)").run(predictor(q, s), z, t, end, s, {});
  const auto late = s.at(t), early = s.at(end);
  const Tensor kept = early.noise / late.noise;
  const auto target = [&](const Tensor& share) {
    return (reached - per_sample(share, z) * z) / per_sample(early.signal - share * late.signal, z);
  };
  const auto one_step = [&](const Tensor& x0) {
    return step("ddim").run({Space::x0, [&](const Tensor&, const Tensor&) { return x0; }}, z, t, end, s, {});
  };
  CHECK(relative_error(one_step(target(kept)), reached) < 1e-13);
  CHECK(relative_error(one_step(target(square(kept))), reached) > 1e-3);
}

TEST_CASE("diffusion step: score distillation on an identity renderer with fixed noise is ddim") {
  // z <- z - rate (sigma / alpha)(E - n) with rate 1 - (sigma' / alpha') / (sigma / alpha): alpha' z + sigma' n is the
  // DDIM state.
  const NoiseSchedule s = NoiseSchedule::vp();
  const ClosedForm q = gaussian_teacher(Tensor::from(std::vector{.7, -.4}, {2}, DType::f64), .3);
  const Tensor n = randn({2, 2}, 1), t = times(2, 700), end = times(2, 500);
  const Tensor z = randn({2, 2}, 2), x = add_noise(z, n, t, s);
  const auto late = s.at(700.), early = s.at(500.);
  const double rho = late.noise / late.signal, next = early.noise / early.signal;
  const Tensor push = q.predict(Space::eps, x, t, s) - n;
  const Tensor ddim = step("ddim").run(predictor(q, s), x, t, end, s, {});
  CHECK(relative_error(add_noise(z - (1 - next / rho) * rho * push, n, end, s), ddim) < 1e-13);
  CHECK(relative_error(add_noise(z - (1 - next / rho) * push, n, end, s), ddim) > 1e-2);  // without sigma / alpha
}

TEST_CASE("diffusion step: ddim_eta has the variance of DDPM's posterior, and none at eta 0") {
  const NoiseSchedule s = NoiseSchedule::vp();
  const Tensor x = randn({2, 3}, 3), t = times(2, 600), end = times(2, 580);
  const Predictor net{Space::x0, [](const Tensor& at, const Tensor&) { return at * .3; }};
  const auto run = [&](const std::string& name, double noise) {
    return step(name).run(net, x, t, end, s,
                          [&](const Tensor& like, int) { return Tensor::full(like.shape(), noise, DType::f64); });
  };
  // kappa = eta sigma_s / sigma_t sqrt(1 - alpha_t^2 / alpha_s^2), as the coefficient of the noise.
  const auto late = s.at(600.), early = s.at(580.);
  const double kappa = early.noise / late.noise * std::sqrt(1 - std::pow(late.signal / early.signal, 2));
  for (const auto& [name, eta] : {std::pair{"ddim_eta(1)", 1.}, std::pair{"ddim_eta(.4)", .4}}) {
    const auto difference = (run(name, 1) - run(name, 0)).values();
    for (const double v : difference) CHECK(v == doctest::Approx(eta * kappa).epsilon(1e-11));
    // Total variance of the noise stays sigma_s^2.
    const Tensor kept = run(name, 0) - per_sample(s.at(end).signal, x) * (x * .3);
    const Tensor eps = convert(Space::x0, Space::eps, x * .3, x, t, s);
    CHECK(relative_error(kept, eps * std::sqrt(early.noise * early.noise - eta * eta * kappa * kappa)) < 1e-11);
  }
  CHECK(run("ddim_eta(0)", 5).values() == step("ddim").run(net, x, t, end, s, {}).values());
  // DDPM's posterior mean, written by betas.
  const double ab_t = std::pow(late.signal, 2), ab_s = std::pow(early.signal, 2), ratio = ab_t / ab_s;
  const Tensor mean =
      x * .3 * (std::sqrt(ab_s) * (1 - ratio) / (1 - ab_t)) + x * (std::sqrt(ratio) * (1 - ab_s) / (1 - ab_t));
  CHECK(relative_error(run("ddim_eta(1)", 0), mean) < 1e-11);
}

TEST_CASE("diffusion step: ancestral and renoising samplers reach the data's law; draws do not depend on the batch") {
  const NoiseSchedule s = NoiseSchedule::flow();
  const ClosedForm q = gaussian_teacher(Tensor::from(std::vector{.7}, {1}, DType::f64), .3);
  const std::int64_t n = 4000;
  const Tensor noise = keyed_noise(Rng(3), "start", 0, ids(n))(Tensor::zeros({n, 1}, DType::f64), 0);
  const Tensor x = sample(predictor(q, s), noise, uniform_grid(65, 0, 1), step("ddim_eta(1)"), s, Rng(3), ids(n));
  CHECK(std::abs(mean(x).item() - .7) < 4 * std::sqrt(.3 / n));
  CHECK(std::abs(var(x).item() - .3) < .02 + 4 * .3 * std::sqrt(2. / n));
  // A consistency sampler: the exact end of the flow, renoised to an earlier level, stays at the law.
  const Predictor end{Space::x0, [&](const Tensor& at, const Tensor& t) { return q.flow_map(at, t, times(n, 0), s); }};
  const Tensor y = sample(end, noise, std::vector{0., .4, 1.}, step("renoise"), s, Rng(3), ids(n));
  CHECK(std::abs(var(y).item() - .3) < 5 * .3 * std::sqrt(2. / n));
  const auto part = [&](std::int64_t begin, std::int64_t stop) {
    return sample(predictor(q, s), slice(noise, 0, begin, stop), uniform_grid(5, 0, 1), step("n(2 ddim_eta(.5))"), s,
                  Rng(3), ids(stop - begin, begin))
        .values();
  };
  auto split = part(0, 3);
  const auto rest = part(3, 8);
  split.insert(split.end(), rest.begin(), rest.end());
  CHECK(split == part(0, 8));
}

TEST_CASE("diffusion step: substeps draw different noise") {
  std::vector<int> seen;
  const NoiseSchedule s = NoiseSchedule::flow();
  const Predictor net{Space::x0, [](const Tensor& at, const Tensor&) { return at; }};
  const auto noise = [&](const Tensor& like, int draw) {
    seen.push_back(draw);
    return like;
  };
  step("n(2 n(3 ddim_eta(1)))").run(net, randn({1, 2}), times(1, .9), times(1, .1), s, noise);
  std::sort(seen.begin(), seen.end());
  CHECK(seen == std::vector{0, 1, 2, 3, 4, 5});
  CHECK(step("n(2 n(3 heun))").calls == 12);
}

TEST_CASE("diffusion step: errors") {
  const NoiseSchedule s = NoiseSchedule::flow();
  const Predictor net{Space::x0, [](const Tensor& at, const Tensor&) { return at; }};
  CHECK_THROWS_WITH_AS(step("huen"), doctest::Contains("'heun'"), ConfigError);
  CHECK_THROWS_WITH_AS(step("ddim_eta(1.5)"), doctest::Contains("at most 1"), ConfigError);
  CHECK_THROWS_WITH_AS(step("renoise").run(net, randn({1, 2}), times(1, .9), times(1, .1), s, {}),
                       doctest::Contains("noise"), ValueError);
  CHECK_THROWS_WITH_AS(sample(net, randn({1, 2}), std::vector{1., 0.}, step("ddim"), s, Rng(1), ids(1)),
                       doctest::Contains("ascend"), ValueError);
}
