// tests/distill/diffusion/golden_bench_test.cpp -- gradients of distribution matching in one dimension, from the exact
// teachers: alpha .8, sigma .5, teacher N(.7, 1.3), student m + s z at m = -.4, s = .6, exact tracker.
#include <doctest/doctest.h>

#include "autograd/tape.h"
#include "distill/diffusion/closed_form.h"
#include "distill/diffusion/noising.h"
#include "tests/distill/diffusion/quadrature.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
constexpr double kMean = -.4, kDeviation = .6;
Tensor number(double v) { return Tensor::full({1}, v, DType::f64); }

struct Bench {
  NoiseSchedule schedule = NoiseSchedule::trig(.5 / .6);  // alpha .8 and sigma .5 meet at cos t = .8
  NormalPairs pairs{50};
  Tensor t = Tensor::full({2500}, std::acos(.8), DType::f64);
  ClosedForm teacher = gaussian_teacher(number(.7), 1.3);  // 1.3 is the variance
  ClosedForm tracker = gaussian_teacher(number(kMean), kDeviation* kDeviation);

  Tensor sample(const Tensor& mean, const Tensor& deviation) const { return mean + deviation * pairs.z; }
  Tensor state(const Tensor& sample) const { return add_noise(sample, pairs.eps, t, schedule); }
  Tensor score(const ClosedForm& q, const Tensor& x) const { return q.predict(Space::score, x, t, schedule); }
  Tensor denoised(const ClosedForm& q, const Tensor& x) const { return q.predict(Space::x0, x, t, schedule); }
  Tensor ratio(const ClosedForm& student, const Tensor& x) const {
    return reshape(exp(teacher.log_density(x, t, schedule) - student.log_density(x, t, schedule)), x.shape());
  }
};
const Bench& bench() {
  static const Bench b;
  return b;
}

struct Result {
  double value, by_mean, by_deviation;
};
/// E of loss(sample, state) and its gradient in (m, s), `loss` of live tensors.
Result differentiate(const std::function<Tensor(const Tensor& mean, const Tensor& deviation)>& loss) {
  Tape tape;
  const Tensor leaves[] = {tape.watch(number(kMean)), tape.watch(number(kDeviation))};
  const Tensor total = bench().pairs.mean(loss(leaves[0], leaves[1]));
  const Tensors g = tape.gradients(total, leaves);
  return {stop_gradient(total).item(), g[0].item(), g[1].item()};
}

void check(const Result& r, double by_mean, double by_deviation) {
  CHECK(r.by_mean == doctest::Approx(by_mean).epsilon(2e-5));
  CHECK(r.by_deviation == doctest::Approx(by_deviation).epsilon(2e-5));
}

/// The push: gradient of E h(r) sg[s_p - s_q] x_t.
Result push(const std::function<Tensor(const Tensor& r)>& h) {
  const Bench& b = bench();
  return differentiate([&](const Tensor& mean, const Tensor& deviation) {
    const Tensor x = b.state(b.sample(mean, deviation)), at = stop_gradient(x);
    return h(b.ratio(b.tracker, at)) * (b.score(b.tracker, at) - b.score(b.teacher, at)) * x;
  });
}
}  // namespace

TEST_CASE("golden bench: the rows of f-divergences") {
  check(push([](const Tensor& r) { return r * 0. + 1; }), -.650647, -.444436);
  check(push([](const Tensor& r) { return r; }), -1.46545, -2.28952);
  check(push([](const Tensor& r) { return r / (1 + r); }), -.32817, -.27554);
  check(push([](const Tensor& r) { return 1.0 / (1 + r); }), -.32248, -.16890);
  check(push([](const Tensor& r) { return sqrt(r) / 4; }), -.19121, -.18230);
  check(push([](const Tensor& r) { return 1 + r; }), -2.11609, -2.73395);
  check(push([](const Tensor& r) { return 2.0 / r; }), -1.59379, -.68880);
  check(push([](const Tensor& r) { return .75 * .25 * r / (.75 * r + .25); }), -.11897, -.09021);
  // Mutation: the inverse ratio in the forward KL.
  CHECK(std::abs(push([](const Tensor& r) { return 1.0 / r; }).by_mean + 1.46545) > .1);
}

TEST_CASE("golden bench: reverse KL is the gradient of the divergence itself, and equals the x0 form with its weight") {
  const Bench& b = bench();
  // KL of the noised student from the noised teacher with everything live; the density's own dependence drops out.
  const Result whole = differentiate([&](const Tensor& mean, const Tensor& deviation) {
    const Tensor x = b.state(b.sample(mean, deviation));
    const ClosedForm p = gaussian_teacher(mean, square(deviation));
    return reshape(p.log_density(x, b.t, b.schedule) - b.teacher.log_density(x, b.t, b.schedule), x.shape());
  });
  check(whole, -.650647, -.444436);
  const auto x0_form = [&](double weight) {
    return differentiate([&](const Tensor& mean, const Tensor& deviation) {
      const Tensor sample = b.sample(mean, deviation), at = stop_gradient(b.state(sample));
      return weight * (b.denoised(b.tracker, at) - b.denoised(b.teacher, at)) * sample;
    });
  };
  check(x0_form(.64 / .25), -.650647, -.444436);             // alpha^2 / sigma^2
  CHECK(std::abs(x0_form(.8 / .5).by_mean + .650647) > .1);  // alpha / sigma is not it
}

TEST_CASE("golden bench: score implicit matching needs y live") {
  const Bench& b = bench();
  const auto sim = [&](bool live, double c) {
    return differentiate([&](const Tensor& mean, const Tensor& deviation) {
      const Tensor x = b.state(b.sample(mean, deviation)), tracked = b.score(b.tracker, x);
      const Tensor y = tracked - b.score(b.teacher, x);
      const Tensor d = c > 0 ? y / sqrt(square(y) + c * c) : y;
      return -(live ? d : stop_gradient(d)) * (tracked + b.pairs.eps / .5);
    });
  };
  check(sim(true, 0), -1.354386, -1.850273);
  check(sim(true, 2), -.543609, -.678331);
  check(sim(false, 0), -1.354386, -.925136);  // detached: half the gradient in the scale, wrong
}

TEST_CASE("golden bench: the score identity for every a") {
  const Bench& b = bench();
  const auto identity = [&](double a) {
    return differentiate([&](const Tensor& mean, const Tensor& deviation) {
      const Tensor sample = b.sample(mean, deviation), x = b.state(sample);
      const Tensor y = b.denoised(b.teacher, x) - b.denoised(b.tracker, x);
      return y * (b.denoised(b.tracker, x) - sample + (1 - a) * y);
    });
  };
  const double rows[][3] = {
      {0, .014816, -.080225}, {.5, -.058724, -.130458}, {1, -.132264, -.180691}, {1.2, -.161680, -.200784}};
  for (const auto& [a, by_mean, by_deviation] : rows) {
    const Result r = identity(a);
    CHECK(std::abs(r.value - .127440 * (1 - a)) < 1e-6);
    CHECK(std::abs(r.by_mean - by_mean) < 1e-6);
    CHECK(std::abs(r.by_deviation - by_deviation) < 1e-6);
  }
}

TEST_CASE("golden bench: weighted Fisher divergences with everything live") {
  const Bench& b = bench();
  const auto fisher = [&](const std::function<Tensor(const Tensor&)>& h) {
    return differentiate([&](const Tensor& mean, const Tensor& deviation) {
      const Tensor x = b.state(b.sample(mean, deviation));
      const ClosedForm p = gaussian_teacher(mean, square(deviation));
      return h(b.ratio(p, x)) * square(b.score(p, x) - b.score(b.teacher, x));
    });
  };
  check(fisher([](const Tensor& r) { return r * 0. + 1; }), -1.20267, -2.67178);
  check(fisher([](const Tensor& r) { return r / (1 + r); }), -.54825, -1.48031);
  check(fisher([](const Tensor& r) { return sqrt(r); }), -1.54506, -4.17750);
}

TEST_CASE("golden bench: the push ends at the teacher, where it vanishes for every state") {
  const NoiseSchedule ve = NoiseSchedule::ve(.01, 100);
  const NormalPairs pairs(4);
  const ClosedForm teacher = gaussian_teacher(number(.7), 1.3);
  std::vector<Tensor> z, eps, weight;
  std::vector<double> sigma;
  for (int k = 0; k < 24; ++k) {
    z.push_back(pairs.z), eps.push_back(pairs.eps), weight.push_back(pairs.weight / 24);
    for (int i = 0; i < 16; ++i) sigma.push_back(.02 * std::pow(1.35, k));
  }
  const Tensor all_z = concat(z, 0), all_eps = concat(eps, 0), w = concat(weight, 0);
  const Tensor t = Tensor::from(sigma, {384}, DType::f64);
  double mean = kMean, deviation = kDeviation;
  for (int step = 0; step < 400; ++step) {
    const Tensor x = add_noise(mean + deviation * all_z, all_eps, t, ve);
    const ClosedForm tracker = gaussian_teacher(number(mean), deviation * deviation);
    const Tensor g = tracker.predict(Space::x0, x, t, ve) - teacher.predict(Space::x0, x, t, ve);
    mean -= sum(w * g).item();
    deviation -= sum(w * g * all_z).item();
  }
  CHECK(std::abs(mean - .7) < 1e-4);
  CHECK(std::abs(deviation * deviation - 1.3) < 1e-4);
}

TEST_CASE("golden bench: score distillation pulls to the mean by w alpha sigma (z - m) / v on average") {
  const NoiseSchedule vp = NoiseSchedule::vp();
  const NormalPairs pairs(4);
  const Tensor t = Tensor::full({16}, 300, DType::f64);
  const auto [alpha, sigma] = vp.at(300.);
  const ClosedForm teacher = gaussian_teacher(number(.7), 1.3);
  const Tensor z = Tensor::full({16, 1}, -.4, DType::f64);
  const Tensor eps = teacher.predict(Space::eps, add_noise(z, pairs.eps, t, vp), t, vp);
  const double want = sigma * alpha * (-.4 - .7) / (alpha * alpha * 1.3 + sigma * sigma);
  CHECK(pairs.mean(eps - pairs.eps).item() == doctest::Approx(want).epsilon(1e-12));
  CHECK(std::abs(want * alpha / sigma - want) > 1e-2);  // alpha for sigma would be noticed
}

TEST_CASE("golden bench: interval score matching is exactly zero on one data point and pulls on spread data") {
  const NoiseSchedule vp = NoiseSchedule::vp();
  const Tensor t = Tensor::full({1}, 600, DType::f64), s = Tensor::full({1}, 400, DType::f64);
  const Tensor z = Tensor::full({1, 1}, -.4, DType::f64);
  const auto interval = [&](const ClosedForm& teacher, double noise) {
    const Tensor x_s = add_noise(z, Tensor::full({1, 1}, noise, DType::f64), s, vp);
    const Tensor x0 = teacher.predict(Space::x0, x_s, s, vp), e = teacher.predict(Space::eps, x_s, s, vp);
    return (teacher.predict(Space::eps, add_noise(x0, e, t, vp), t, vp) - e).item();  // a ddim step s -> t
  };
  CHECK(std::abs(interval(empirical_teacher(number(.7)), .9)) < 1e-14);
  // Linear in the noise, so on average what it is without: a multiple of z - m towards the mean.
  const auto late = vp.at(600.), early = vp.at(400.);
  const auto variance = [](const SignalNoise<double>& at) { return at.signal * at.signal * .3 + at.noise * at.noise; };
  const double across = late.signal * early.signal * .3 + late.noise * early.noise;
  const double pull = early.signal / variance(early) * (late.noise * across / variance(late) - early.noise);
  CHECK(pull > 0);
  CHECK(interval(gaussian_teacher(number(.7), .3), 0) == doctest::Approx(pull * (-.4 - .7)).epsilon(1e-11));
}
