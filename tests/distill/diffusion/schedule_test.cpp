// tests/distill/diffusion/schedule_test.cpp -- schedules against their definitions, and grids of times.
#include "distill/diffusion/schedule.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "autograd/check_grads.h"
#include "autograd/jvp.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "distill/diffusion/grid.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
NoiseSchedule schedule(const std::string& text) { return make_schedule(parse_call(text, "test")); }
std::vector<double> grid(const std::string& text, const NoiseSchedule& s) {
  return make_grid(parse_call(text, "test"), s);
}
Tensor times(std::vector<double> v) { return Tensor::from(v, {static_cast<std::int64_t>(v.size())}, DType::f64); }

/// Times well inside the range, off the knots of the discrete schedules.
std::vector<double> inner_times(const NoiseSchedule& s) {
  std::vector<double> out;
  for (const double u : {.031, .2, .47, .713, .93}) out.push_back(std::lerp(s.t_min(), s.t_max(), u));
  return out;
}

const char* const kAll[] = {"ve",         "flow",          "trig(.5)", "vp", "vp(scaled_linear)",
                            "vp(cosine)", "vp_continuous", "cosine"};
}  // namespace

TEST_CASE("diffusion schedule: doubles and tensors agree, rates are the slopes, the inverse inverts") {
  for (const char* text : kAll) {
    INFO(text);
    const NoiseSchedule s = schedule(text);
    const std::vector<double> t = inner_times(s);
    const auto level = s.at(times(t)), rate = s.rate(times(t));
    const auto alpha = level.signal.values(), sigma = level.noise.values();
    const auto d_alpha = rate.signal.values(), d_sigma = rate.noise.values();
    const auto snr = s.log_snr(times(t)).values(), back = s.time_at(s.log_snr(times(t))).values();
    for (std::size_t i = 0; i < t.size(); ++i) {
      CHECK(alpha[i] == doctest::Approx(s.at(t[i]).signal).epsilon(1e-12));
      CHECK(sigma[i] == doctest::Approx(s.at(t[i]).noise).epsilon(1e-12));
      const double h = 1e-6 * t[i];
      CHECK(d_alpha[i] == doctest::Approx((s.at(t[i] + h).signal - s.at(t[i] - h).signal) / (2 * h)).epsilon(1e-7));
      CHECK(d_sigma[i] == doctest::Approx((s.at(t[i] + h).noise - s.at(t[i] - h).noise) / (2 * h)).epsilon(1e-7));
      CHECK(d_sigma[i] == doctest::Approx(s.rate(t[i]).noise).epsilon(1e-12));
      CHECK(snr[i] == doctest::Approx(std::log(alpha[i] * alpha[i] / (sigma[i] * sigma[i]))));
      CHECK(s.time_at(snr[i]) == doctest::Approx(t[i]).epsilon(1e-10));
      CHECK(back[i] == doctest::Approx(t[i]).epsilon(1e-10));
      if (s.variance_preserving())
        CHECK(alpha[i] * alpha[i] + sigma[i] * sigma[i] == doctest::Approx(1).epsilon(1e-14));
    }
    CHECK(s.at(s.clean()).signal == doctest::Approx(1).epsilon(1e-15));
    CHECK(s.at(s.clean()).noise < 1e-15);
  }
}

TEST_CASE("diffusion schedule: coefficients and times are differentiable in t") {
  for (const char* text : kAll) {
    INFO(text);
    const NoiseSchedule s = schedule(text);
    const Tensor t = times(inner_times(s));
    const auto coefficients = [&](std::span<const Tensor> in) {
      const auto level = s.at(in[0]), rate = s.rate(in[0]);
      return Tensors{level.signal, level.noise, rate.signal, rate.noise};
    };
    CHECK(check_grads(coefficients, std::span(&t, 1), {.tolerance = 1e-5}) == "");
    // time_at(log_snr(t)) = t, whose derivative is 1.
    const auto round_trip = [&](const Tensor& u) { return s.time_at(s.log_snr(u)); };
    const auto slope = jvp(round_trip, t, Tensor::full(t.shape(), 1, DType::f64), JvpMode::tracked).second.values();
    for (const double v : slope) CHECK(v == doctest::Approx(1).epsilon(1e-9));
  }
}

TEST_CASE("diffusion schedule: the discrete betas are those of the literature") {
  double linear = 1, latent = 1;
  for (int j = 0; j < 1000; ++j) {
    linear *= 1 - (1e-4 + (.02 - 1e-4) * j / 999);
    const double root = std::sqrt(.00085) + (std::sqrt(.012) - std::sqrt(.00085)) * j / 999;
    latent *= 1 - root * root;
    if (j == 0) CHECK(std::pow(schedule("vp").at(0.).signal, 2) == doctest::Approx(linear).epsilon(1e-14));
    if (j == 500) CHECK(std::pow(schedule("vp").at(500.).signal, 2) == doctest::Approx(linear).epsilon(1e-13));
  }
  CHECK(linear == doctest::Approx(4.0358e-5).epsilon(1e-4));
  CHECK(std::pow(schedule("vp").at(999.).signal, 2) == doctest::Approx(linear).epsilon(1e-12));
  CHECK(std::pow(schedule("vp(scaled_linear)").at(999.).signal, 2) == doctest::Approx(latent).epsilon(1e-12));
  CHECK(latent == doctest::Approx(.00466).epsilon(1e-3));
  // Cosine: alpha^2 = f(t) / f(0) until the last betas, which are limited to 0.999.
  const double turn = std::numbers::pi / 2 / 1.008;
  const double want = std::cos((.4 + .008) * turn) / std::cos(.008 * turn);
  CHECK(schedule("vp(cosine)").at(399.).signal == doctest::Approx(want).epsilon(1e-12));
  CHECK(schedule("cosine").at(.4).signal == doctest::Approx(want).epsilon(1e-12));
}

TEST_CASE("diffusion schedule: small noise is exact where 1 - alpha^2 would cancel") {
  const NoiseSchedule s = NoiseSchedule::vp_continuous();
  const double t = 1e-9, log_alpha = -t * t * 19.9 / 4 - t * .05;
  CHECK(s.at(t).noise == doctest::Approx(std::sqrt(-2 * log_alpha)).epsilon(1e-9));
  CHECK(std::abs(std::sqrt(1 - std::exp(2 * log_alpha)) / s.at(t).noise - 1) > 1e-9);  // the naive form is off
  const double u = 1e-9, turn = std::numbers::pi / 2;
  CHECK(NoiseSchedule::cosine(0).at(u).noise == doctest::Approx(u * turn).epsilon(1e-9));
}

TEST_CASE("diffusion schedule: two schedules meet at equal log-SNR and their states differ by a factor") {
  // RF1 seen from trig(1): u = sin t / (sin t + cos t), state scaled by 1 / (cos t + sin t).
  const NoiseSchedule flow = NoiseSchedule::flow(), trig = NoiseSchedule::trig(1);
  for (const double t : {.1, .7, 1.4}) {
    const double u = flow.time_at(trig.log_snr(t));
    CHECK(u == doctest::Approx(std::sin(t) / (std::sin(t) + std::cos(t))).epsilon(1e-13));
    CHECK(flow.at(u).noise / trig.at(t).noise == doctest::Approx(1 / (std::cos(t) + std::sin(t))).epsilon(1e-13));
  }
}

TEST_CASE("diffusion schedule: noise between two times") {
  const auto between = transition(NoiseSchedule::flow(), times({.8}), times({.5}));  // Phased DMD's example
  CHECK(between.signal.item() == doctest::Approx(.4).epsilon(1e-13));
  CHECK(between.noise.item() == doctest::Approx(std::sqrt(.6)).epsilon(1e-13));
  const auto from_clean = transition(NoiseSchedule::vp(), times({300}), times({-1}));
  CHECK(from_clean.noise.item() == doctest::Approx(NoiseSchedule::vp().at(300.).noise).epsilon(1e-13));
}

TEST_CASE("diffusion schedule: calls") {
  CHECK(schedule("ve(sigma_max=50)").t_max() == 50);
  CHECK(schedule("trig").sigma_data() == .5);
  CHECK(schedule("vp(linear steps=100)").t_max() == 99);
  CHECK(schedule("vp_continuous(.2 10)").rate(.5).signal < 0);
  CHECK_THROWS_WITH_AS(schedule("vee"), doctest::Contains("the nearest is 've'"), ConfigError);
  CHECK_THROWS_WITH_AS(schedule("vp(linaer)"), doctest::Contains("the nearest is 'linear'"), ConfigError);
  CHECK_THROWS_WITH_AS(schedule("trig(sigma_date=1)"), doctest::Contains("'sigma_data'"), ConfigError);
  CHECK_THROWS_WITH_AS(schedule("ve(1 .5)"), doctest::Contains("sigma_min < sigma_max"), ConfigError);
  CHECK_THROWS_WITH_AS(NoiseSchedule::flow().at(1.5), doctest::Contains("[0, 1]"), ValueError);
  CHECK_THROWS_WITH_AS(per_sample(times({1, 2}), randn({3, 2})), doctest::Contains("per_sample"), ShapeError);
}

TEST_CASE("diffusion grid: karras, uniform, subset, shift; index 0 is the cleanest") {
  const NoiseSchedule ve = NoiseSchedule::ve();
  const auto karras = grid("karras(40)", ve);
  REQUIRE(karras.size() == 40);
  for (int i = 0; i < 40; ++i) {  // the published formula descends
    const double a = std::pow(80, 1 / 7.), b = std::pow(.002, 1 / 7.);
    CHECK(karras[static_cast<std::size_t>(39 - i)] ==
          doctest::Approx(std::pow(a + i / 39. * (b - a), 7)).epsilon(1e-11));
  }
  CHECK(karras_level(.8) == doctest::Approx(24.4).epsilon(2e-3));  // SiD's largest level
  CHECK(grid("ends(karras(3))", ve).front() == 0);
  const auto ddim = grid("subset(50)", NoiseSchedule::vp());
  CHECK(ddim.size() == 50);
  CHECK(ddim.front() == 19);
  CHECK(ddim.back() == 999);
  CHECK(grid("ends(subset(4))", NoiseSchedule::vp()) == std::vector<double>{-1, 249, 499, 749, 999});
  CHECK(grid("uniform(3)", NoiseSchedule::flow()) == std::vector<double>{0, .5, 1});
  CHECK(grid("shift(5 uniform(3))", NoiseSchedule::flow())[1] == doctest::Approx(5 * .5 / 3));
  CHECK(grid("karras(9)", NoiseSchedule::flow()).back() == doctest::Approx(80. / 81));  // where sigma / alpha is 80
  CHECK_THROWS_WITH_AS(grid("kerras(9)", ve), doctest::Contains("'karras'"), ConfigError);
  CHECK_THROWS_WITH_AS(grid("subset(7)", NoiseSchedule::vp()), doctest::Contains("divides 1000"), ConfigError);
  CHECK_THROWS_WITH_AS(grid("subset(10)", ve), doctest::Contains("vp schedule"), ConfigError);
}
