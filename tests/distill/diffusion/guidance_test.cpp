// tests/distill/diffusion/guidance_test.cpp -- table `guide`: conventions, invariances, and a mixture whose guided
// score is known.
#include "distill/diffusion/guidance.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/closed_form.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Guidance entry(const std::string& text) { return make_guidance(parse_call(text, "test")); }
Tensor vec(std::vector<double> v) { return Tensor::from(v, {static_cast<std::int64_t>(v.size())}, DType::f64); }
NamedTensors predictions() {
  return {{"null", randn({3, 2, 4}, 1)},
          {"cond", randn({3, 2, 4}, 2)},
          {"negative", randn({3, 2, 4}, 3)},
          {"style", randn({3, 2, 4}, 4)}};
}
}  // namespace

TEST_CASE("diffusion guidance: 1 is conditional, 0 is null, w + 1 is the other convention") {
  const NamedTensors p = predictions();
  const Tensor &null = p.at("null"), &cond = p.at("cond");
  CHECK(entry("1").apply(p, {}).values() == cond.values());
  CHECK(entry("0").apply(p, {}).values() == null.values());
  CHECK(entry("1").conditions == std::vector<std::string>{"cond"});
  CHECK(entry("0").conditions == std::vector<std::string>{"null"});
  CHECK(entry("7.5").conditions.size() == 2);
  const Tensor want = cond + 6.5 * (cond - null);  // LCM's w = 6.5
  CHECK(relative_error(entry("7.5").apply(p, {}), want) < 1e-14);
  CHECK(relative_error(entry("scale(7.5)").apply(p, {}), want) < 1e-14);
  CHECK(relative_error(entry("8.5").apply(p, {}), want) > 1e-2);
  // Decoupled: D - D_f + (kappa - 1)(D_null - D_cond) is the direction D_f - D^kappa.
  CHECK(relative_error(cond + (7.5 - 1) * -(null - cond), want) < 1e-14);
}

TEST_CASE("diffusion guidance: a scale per sample, by name") {
  const NamedTensors p = predictions();
  const Tensor kappa = vec({1, 0, 3});
  const Guidance g = entry("kappa");
  CHECK(g.numbers == std::vector<std::string>{"kappa"});
  const Tensor got = g.apply(p, {{"kappa", kappa}});
  for (std::int64_t i = 0; i < 3; ++i) {
    const Tensor want =
        guide(slice(p.at("null"), 0, i, i + 1), slice(p.at("cond"), 0, i, i + 1), slice(kappa, 0, i, i + 1));
    CHECK(relative_error(slice(got, 0, i, i + 1), want) < 1e-15);
  }
  CHECK_THROWS_WITH_AS(g.apply(p, {}), doctest::Contains("'kappa' is missing"), ConfigError);
}

TEST_CASE("diffusion guidance: the same in every space") {
  const NoiseSchedule s = NoiseSchedule::vp();
  const Tensor x = randn({3, 2, 4}, 9), t = vec({20, 500, 900});
  const NamedTensors p = predictions();
  const Tensor on_x0 = guide(p.at("null"), p.at("cond"), vec({4}).item() * vec({1, 1, 1}));
  for (const Space space : {Space::eps, Space::v, Space::score}) {
    const auto to = [&](const Tensor& a) { return convert(Space::x0, space, a, x, t, s); };
    CHECK(relative_error(guide(to(p.at("null")), to(p.at("cond")), vec({4, 4, 4})), to(on_x0)) < 1e-9);
  }
}

TEST_CASE("diffusion guidance: on a mixture the guided score is the tilted density's") {
  // log q + (kappa - 1)(log q(x | c) - log q(x)) has the gradient s_null + kappa (s_c - s_null).
  const ClosedForm q(randn({3, 2}, 11), vec({.3, .7, 1.1}));
  const NoiseSchedule s = NoiseSchedule::flow();
  const Tensor t = vec({.4}), x = randn({1, 2}, 5);
  const std::vector<std::int64_t> one{1};
  const Tensor label = Tensor::of<std::int64_t>(one, {1});
  const double kappa = 3, h = 1e-5;
  const Tensor guided = guide(q.predict(Space::score, x, t, s), q.predict(Space::score, x, t, s, label), vec({kappa}));
  const auto tilted = [&](const Tensor& at) {
    const double conditional = q.log_density(at, t, s, label).item(), marginal = q.log_density(at, t, s).item();
    return marginal + kappa * (conditional - marginal);
  };
  for (int d = 0; d < 2; ++d) {
    const Tensor e = Tensor::from(std::vector{d == 0 ? h : 0, d == 1 ? h : 0}, {1, 2}, DType::f64);
    CHECK(guided.values()[static_cast<std::size_t>(d)] ==
          doctest::Approx((tilted(x + e) - tilted(x - e)) / (2 * h)).epsilon(1e-7));
  }
}

TEST_CASE("diffusion guidance: multi, negative and extrapolate") {
  const NamedTensors p = predictions();
  const Tensor &null = p.at("null"), &cond = p.at("cond"), &style = p.at("style"), &negative = p.at("negative");
  CHECK(relative_error(entry("multi(cond=5 style=kappa)").apply(p, {{"kappa", vec({2, 2, 2})}}),
                       null + 5.0 * (cond - null) + 2.0 * (style - null)) < 1e-14);
  CHECK(relative_error(entry("multi(cond=5)").apply(p, {}), entry("5").apply(p, {})) < 1e-14);
  CHECK(relative_error(entry("negative(4)").apply(p, {}), negative + 4.0 * (cond - negative)) < 1e-14);
  CHECK(relative_error(entry("scale(4 null=style)").apply(p, {}), style + 4.0 * (cond - style)) < 1e-14);
  CHECK(relative_error(entry("extrapolate(1.5 cond style)").apply(p, {}), cond + 1.5 * (cond - style)) < 1e-14);
  CHECK(relative_error(entry("extrapolate(1.5 cond style)").apply(p, {}), entry("scale(2.5 null=style)").apply(p, {})) <
        1e-14);
}

TEST_CASE("diffusion guidance: perp_neg keeps of a negative only what is perpendicular to the condition") {
  NamedTensors p = predictions();
  const Tensor e = p.at("cond") - p.at("null");
  // A negative along the condition changes nothing.
  p["negative"] = p.at("null") + 2.0 * e;
  CHECK(relative_error(entry("perp_neg(7.5 negative=-1)").apply(p, {}), entry("7.5").apply(p, {})) < 1e-13);
  p["negative"] = randn({3, 2, 4}, 3);
  const Tensor moved = entry("perp_neg(7.5 negative=-1)").apply(p, {}) - entry("7.5").apply(p, {});
  const Tensor inner = sum(moved * e, {1, 2}), length = sum(moved * moved, {1, 2});
  for (const double v : inner.values()) CHECK(std::abs(v) < 1e-11);  // per sample, not over the batch
  CHECK(sum(length).item() > 1);
  const Tensor away = p.at("negative") - p.at("null");
  CHECK(sum(moved * away).item() < 0);  // away from the negative
}

TEST_CASE("diffusion guidance: rescale_std restores each sample's deviation") {
  const NamedTensors p = predictions();
  const auto deviation = [](const Tensor& x) { return var(x, {1, 2}).values(); };
  const Tensor full = entry("rescale_std(1 7.5)").apply(p, {}), none = entry("rescale_std(0 7.5)").apply(p, {});
  const auto got = deviation(full), want = deviation(p.at("cond"));
  for (std::size_t i = 0; i < 3; ++i) CHECK(got[i] == doctest::Approx(want[i]).epsilon(1e-12));
  CHECK(relative_error(none, entry("7.5").apply(p, {})) < 1e-14);
  CHECK(relative_error(entry("rescale_std(.5 7.5)").apply(p, {}), .5 * full + .5 * none) < 1e-14);
  CHECK(entry("rescale_std(.7 negative(4))").conditions == std::vector<std::string>{"negative", "cond"});
}

TEST_CASE("diffusion guidance: errors name the nearest entry") {
  CHECK_THROWS_WITH_AS(entry("scael(3)"), doctest::Contains("'scale'"), ConfigError);
  CHECK_THROWS_WITH_AS(entry("multi()"), doctest::Contains("condition=number"), ConfigError);
  CHECK_THROWS_WITH_AS(entry("rescale_std(2 7.5)"), doctest::Contains("at most 1"), ConfigError);
  CHECK_THROWS_WITH_AS(entry("7.5").apply({{"cond", randn({1, 2})}}, {}), doctest::Contains("'null' is missing"),
                       ConfigError);
}
