// tests/distill/diffusion/ratio_bench_test.cpp -- gradients of f-divergences on the Gaussian bench (alpha .8, sigma .5,
// teacher N(.7, 1.3), student m + s z at m = -.4, s = .6) by the terms themselves: ratios that weigh a direction, phi
// of an exact critic, and the expansion along the noise.
#include <doctest/doctest.h>

#include "autograd/tape.h"
#include "distill/diffusion/closed_form.h"
#include "distill/diffusion/noising.h"
#include "distill/objectives/direction.h"
#include "distill/objectives/scalar.h"
#include "tests/distill/diffusion/quadrature.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor number(double v) { return Tensor::full({1}, v, DType::f64); }

struct Gradient {
  double by_mean, by_deviation;
};

/// A term at the state z of samples x = m + s z, whose weight is that of the quadrature.
struct Bench {
  NoiseSchedule schedule = NoiseSchedule::trig(.5 / .6);  // alpha .8 and sigma .5 meet at cos t = .8
  NormalPairs nodes{50};
  Tensor t = Tensor::full({2500}, std::acos(.8), DType::f64);
  ClosedForm teacher = gaussian_teacher(number(.7), 1.3), tracker = gaussian_teacher(number(-.4), .36);

  Tensor logit(const Tensor& z) const {
    return reshape(teacher.log_density(z, t, schedule) - tracker.log_density(z, t, schedule), {2500, 1});
  }
  TimeWeight weight(double scale) const {
    return [this, scale](const WeightQuery&) { return reshape(nodes.weight, {2500}) * scale; };
  }
  /// d/dm, d/ds of the term with these signals at (x, z).
  Gradient gradient(const Term& term, const std::function<Signals(const Tensor& x, const Tensor& z)>& signals) const {
    Tape tape;
    const Tensor leaves[] = {tape.watch(number(-.4)), tape.watch(number(.6))};
    Batch batch;
    batch.x = leaves[0] + leaves[1] * nodes.z;
    const Tensor z = add_noise(batch.x, nodes.eps, t, schedule);
    const TensorMap states{{"x", batch.x}, {"z", z}, {"t", t}};
    const Part part = term.eval({batch, signals(batch.x, z), {}, states, &schedule});
    const Tensors g = tape.gradients(part.total, leaves);
    return {g[0].item(), g[1].item()};
  }
};
const Bench& bench() {
  static const Bench b;
  return b;
}

/// w (D_tracker - D_teacher) with alpha^2 / sigma^2, the exact weight of KL, or alpha^2 / sigma^4 of |s_p - s_q|^2.
DirectionSpec difference(double weight) {
  DirectionSpec spec;
  spec.name = "push";
  spec.plan.states = {{"z", "t", {}}};
  spec.state = "z";
  spec.summands = {{Weight(1), {}, 0}, {Weight(-1), {}, 0}};
  spec.weight = bench().weight(weight);
  spec.ratio_read = 2;
  return spec;
}
Gradient weighted(const std::string& divergence) {
  DirectionSpec spec = difference(.64 / .25);
  spec.ratio = RatioWeight{.f = make_divergence(parse_call(divergence, "test")), .bound = 1e3};
  const Bench& b = bench();
  return b.gradient(*make_direction(spec), [&](const Tensor&, const Tensor& z) {
    const Tensor at = stop_gradient(z);
    return Signals{{b.tracker.predict(Space::x0, at, b.t, b.schedule)},
                   {b.teacher.predict(Space::x0, at, b.t, b.schedule)},
                   {b.logit(at)}};
  });
}
Gradient by_critic(const std::string& fn) {
  ScalarSpec spec;
  spec.name = "gan";
  spec.plan.states = {{"z", "t", {}}};
  spec.reads.resize(1);
  spec.reads[0].at = "z";
  spec.fn = make_scalar_function(parse_call(fn, "test"), {});
  spec.weight = bench().weight(1);
  return bench().gradient(*make_scalar(spec),
                          [](const Tensor&, const Tensor& z) { return Signals{{bench().logit(z)}}; });
}
Gradient expanded(const std::string& divergence, bool live) {
  DirectionSpec spec = difference(.64 / .0625);
  spec.estimator = DirectionSpec::Estimator::expansion;
  spec.ratio = RatioWeight{.f = make_divergence(parse_call(divergence, "test")), .bound = 1e3};
  const Bench& b = bench();
  return b.gradient(*make_direction(spec), [&](const Tensor&, const Tensor& z) {
    return Signals{{b.tracker.predict(Space::x0, z, b.t, b.schedule)},
                   {b.teacher.predict(Space::x0, z, b.t, b.schedule)},
                   {b.logit(live ? z : stop_gradient(z))}};
  });
}

void check(const Gradient& g, double by_mean, double by_deviation) {
  CHECK(g.by_mean == doctest::Approx(by_mean).epsilon(2e-5));
  CHECK(g.by_deviation == doctest::Approx(by_deviation).epsilon(2e-5));
}
struct Row {
  const char *divergence, *fn;
  double by_mean, by_deviation;
};
constexpr Row kRows[] = {
    {"rkl", "phi(rkl)", -.650647, -.444436},           {"fkl", "phi(fkl)", -1.46545, -2.28952},
    {"js", "gan_g(minimax)", -.32817, -.27554},        {"softened", "gan_g(logistic_ns)", -.32248, -.16890},
    {"hellinger", "phi(hellinger)", -.19121, -.18230}, {"jeffreys", "phi(jeffreys)", -2.11609, -2.73395},
    {"neyman", "phi(neyman)", -1.59379, -.68880},      {"skew_js(.75)", "phi(skew_js(.75))", -.11897, -.09021}};
}  // namespace

TEST_CASE("ratio bench: a direction weighted by h(r) descends the f-divergence") {
  for (const Row& row : kRows) {
    CAPTURE(row.divergence);
    check(weighted(row.divergence), row.by_mean, row.by_deviation);
  }
  CHECK(std::abs(weighted("neyman").by_mean + 1.46545) > .1);
}

TEST_CASE("ratio bench: phi of the exact critic does too, through the sample alone") {
  for (const Row& row : kRows) {
    CAPTURE(row.fn);
    check(by_critic(row.fn), row.by_mean, row.by_deviation);
  }
  CHECK(std::abs(by_critic("gan_g(wgan)").by_deviation + .16890) > .1);  // rkl, not softened
}

TEST_CASE("ratio bench: the expansion is the gradient of E h |s_p - s_q|^2 with the law of the samples live") {
  check(expanded("rkl", true), -1.20267, -2.67178);
  check(expanded("js", true), -.54825, -1.48031);
  const Gradient root = expanded("hellinger", true);  // h = sqrt(r) / 4
  check({4 * root.by_mean, 4 * root.by_deviation}, -1.54506, -4.17750);
  // With r held constant it is another.
  const Gradient constant = expanded("js", false);
  CHECK(std::abs(constant.by_deviation + 1.48031) > .03);
}
