// tests/distill/diffusion/weights_test.cpp -- table `weight` against its formulas on every schedule.
#include "distill/diffusion/weights.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
std::vector<double> weight(const std::string& text, const NoiseSchedule& s, std::vector<double> t,
                           std::vector<double> e = {}) {
  const auto tensor = [](const std::vector<double>& v) {
    return Tensor::from(v, {static_cast<std::int64_t>(v.size())}, DType::f64);
  };
  return make_weight(parse_call(text, "test"))({tensor(t), e.empty() ? Tensor() : tensor(e), s}).values();
}
}  // namespace

TEST_CASE("diffusion weights: the formulas") {
  for (const NoiseSchedule& s :
       {NoiseSchedule::ve(), NoiseSchedule::flow(), NoiseSchedule::vp(), NoiseSchedule::trig(.5)}) {
    std::vector<double> t;
    for (const double u : {.1, .5, .9}) t.push_back(std::lerp(s.t_min(), s.t_max(), u));
    const auto equal = [&](const std::string& text, const std::function<double(double, double)>& f) {
      const auto got = weight(text, s, t);
      for (std::size_t i = 0; i < t.size(); ++i) {
        const auto [alpha, sigma] = s.at(t[i]);
        CHECK_MESSAGE(got[i] == doctest::Approx(f(alpha, sigma)).epsilon(1e-11), text);
      }
    };
    using std::pow;
    equal("one", [](double, double) { return 1; });
    equal("sigma2", [](double, double b) { return b * b; });
    equal("alpha_sigma", [](double a, double b) { return a * b; });
    equal("sigma_alpha", [](double a, double b) { return b / a; });
    equal("tan", [](double a, double b) { return a / b; });
    equal("power(.5 1)", [](double a, double b) { return std::sqrt(a) * b; });
    equal("snr", [](double a, double b) { return pow(a / b, 2); });
    equal("snr(-.5)", [](double a, double b) { return b / a; });
    equal("snr_plus_one", [](double a, double b) { return pow(a / b, 2) + 1; });
    equal("truncated_snr", [](double a, double b) { return std::max(pow(a / b, 2), 1.); });
    equal("min_snr(3)", [](double a, double b) { return std::min(pow(a / b, 2), 3.); });
    equal("min_snr(3 eps)", [](double a, double b) { return std::min(1., 3 * pow(b / a, 2)); });
    equal("min_snr(3 space=v)", [](double a, double b) { return std::min(pow(a / b, 2), 3.) / (pow(a / b, 2) + 1); });
    equal("edm(.7)", [](double a, double b) { return (pow(b / a, 2) + .49) / pow(b / a * .7, 2); });
    equal("inv_var(cap=10)", [](double, double b) { return std::min(1 / (b * b), 10.); });
  }
  CHECK(weight("tan", NoiseSchedule::trig(.5), {.6})[0] == doctest::Approx(1 / (.5 * std::tan(.6))));
  CHECK(std::abs(weight("sigma2", NoiseSchedule::ve(), {3})[0] - 3) > 1);  // not sigma
}

TEST_CASE("diffusion weights: between two times") {
  const NoiseSchedule s = NoiseSchedule::flow();
  CHECK(weight("inv_dt", s, {.8}, {.5})[0] == doctest::Approx(1 / .3));
  CHECK(weight("inv_var(10)", s, {.8}, {.5})[0] == doctest::Approx(1 / .6));  // sigma_{t|s}^2 = .6
  CHECK_THROWS_WITH_AS(weight("inv_dt", s, {.8}), doctest::Contains("earlier time"), ConfigError);
}

TEST_CASE("diffusion weights: Salimans and Ho's weights make x0, eps and v losses one") {
  // w_x0 |D - x0|^2 with w = SNR is the eps loss, SNR + 1 the v loss.
  const NoiseSchedule s = NoiseSchedule::vp();
  const std::vector<double> t{100, 700};
  const Tensor time = Tensor::from(t, {2}, DType::f64);
  const auto squared = [&](Space to) { return square(conversion_slope(Space::x0, to, time, s)).values(); };
  const auto eps = squared(Space::eps), v = squared(Space::v), snr = weight("snr", s, t),
             plus = weight("snr_plus_one", s, t);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(eps[i] == doctest::Approx(snr[i]).epsilon(1e-11));
    CHECK(v[i] == doctest::Approx(plus[i]).epsilon(1e-11));
  }
}

TEST_CASE("diffusion weights: errors name the nearest entry") {
  CHECK_THROWS_WITH_AS(make_weight(parse_call("simga2", "test")), doctest::Contains("'sigma2'"), ConfigError);
  CHECK_THROWS_WITH_AS(make_weight(parse_call("min_snr(5 score)", "test")), doctest::Contains("x0, eps and v"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(make_weight(parse_call("sigma2(1)", "test")), doctest::Contains("not wanted"), ConfigError);
}
