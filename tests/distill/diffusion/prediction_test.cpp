// tests/distill/diffusion/prediction_test.cpp -- conversions between predictions, raw outputs, and states from samples.
#include "distill/diffusion/prediction.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/check_grads.h"
#include "autograd/jvp.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "distill/diffusion/noising.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
constexpr Space kSpaces[] = {Space::x0, Space::eps, Space::v, Space::score, Space::dxdt};
Tensor times(std::vector<double> v) { return Tensor::from(v, {static_cast<std::int64_t>(v.size())}, DType::f64); }
Tensor inner_times(const NoiseSchedule& s) {
  return times({std::lerp(s.t_min(), s.t_max(), .1), std::lerp(s.t_min(), s.t_max(), .43),
                std::lerp(s.t_min(), s.t_max(), .87)});
}
std::vector<NoiseSchedule> schedules() {
  return {NoiseSchedule::ve(.01, 5), NoiseSchedule::flow(),          NoiseSchedule::trig(.5),
          NoiseSchedule::vp(),       NoiseSchedule::vp_continuous(), NoiseSchedule::cosine()};
}
struct Known {
  Tensor x0 = randn({3, 2, 2, 2}, 1), eps = randn({3, 2, 2, 2}, 2);
};
Output output(const std::string& text) { return make_output(parse_call(text, "test")); }
}  // namespace

TEST_CASE("diffusion prediction: every space converts to every other one") {
  const Known k;
  for (const NoiseSchedule& s : schedules()) {
    const Tensor t = inner_times(s), x = add_noise(k.x0, k.eps, t, s);
    for (const Space from : kSpaces)
      for (const Space to : kSpaces) {
        INFO(static_cast<int>(s.kind()), ": ", static_cast<int>(from), " to ", static_cast<int>(to));
        const Tensor value = compose(from, k.x0, k.eps, t, s), want = compose(to, k.x0, k.eps, t, s);
        CHECK(relative_error(convert(from, to, value, x, t, s), want) < 1e-11);
        if (from != to && relative_error(value, want) > 1e-3)
          CHECK(relative_error(value, convert(from, to, value, x, t, s)) > 1e-4);
      }
  }
}

TEST_CASE("diffusion prediction: the spaces are what the papers write") {
  const Known k;
  const auto at = [&](Space space, const Tensor& t, const NoiseSchedule& s) {
    return compose(space, k.x0, k.eps, t, s);
  };
  const NoiseSchedule flow = NoiseSchedule::flow(), vp = NoiseSchedule::vp(), ve = NoiseSchedule::ve(),
                      trig = NoiseSchedule::trig(.5);
  const Tensor u = times({.2, .5, .9}), index = times({10, 400, 999}), sigma = times({.1, 1, 30});
  CHECK(relative_error(at(Space::v, u, flow), k.eps - k.x0) < 1e-14);
  CHECK(relative_error(at(Space::v, sigma, ve), k.eps) < 1e-14);
  const auto a = per_sample(vp.at(index).signal, k.x0), b = per_sample(vp.at(index).noise, k.x0);
  CHECK(relative_error(at(Space::v, index, vp), a * k.eps - b * k.x0) < 1e-14);
  CHECK(relative_error(at(Space::score, index, vp), -k.eps / b) < 1e-14);
  const auto c = per_sample(cos(u), k.x0), d = per_sample(sin(u), k.x0);
  CHECK(relative_error(at(Space::v, u, trig), c * (k.eps * .5) - d * k.x0) < 1e-14);  // noise z = sigma_data eps
  // dxdt is the derivative of the state in the schedule's time.
  for (const NoiseSchedule& s : schedules()) {
    const Tensor t = inner_times(s);
    const auto path = [&](const Tensor& time) { return add_noise(k.x0, k.eps, time, s); };
    CHECK(relative_error(at(Space::dxdt, t, s), jvp(path, t, times({1, 1, 1}), JvpMode::tracked).second) < 1e-12);
  }
}

TEST_CASE("diffusion prediction: differences at one point scale by the slope") {
  const Known k;
  for (const NoiseSchedule& s : schedules()) {
    const Tensor t = inner_times(s), x = add_noise(k.x0, k.eps, t, s);
    const Tensor other = k.x0 + .1 * randn(k.x0.shape(), 5);
    const auto level = s.at(t);
    for (const Space to : kSpaces) {
      const Tensor moved = convert(Space::x0, to, other, x, t, s) - convert(Space::x0, to, k.x0, x, t, s);
      CHECK(relative_error(per_sample(conversion_slope(Space::x0, to, t, s), x) * (other - k.x0), moved) < 1e-9);
    }
    // The translation table: eps -alpha/sigma, score +alpha/sigma^2, v -1/sigma (flow, vp). Sign and power matter.
    const auto slope = [&](Space to) { return conversion_slope(Space::x0, to, t, s); };
    CHECK(relative_error(slope(Space::eps), -level.signal / level.noise) < 1e-13);
    CHECK(relative_error(slope(Space::score), level.signal / square(level.noise)) < 1e-13);
    CHECK(relative_error(slope(Space::score), level.signal / level.noise) > 1e-2);
    if (s.variance_preserving() || s.kind() == NoiseSchedule::Kind::flow)
      CHECK(relative_error(slope(Space::v), -1.0 / level.noise) < 1e-12);
  }
}

TEST_CASE("diffusion prediction: sound where alpha or sigma vanish") {
  const Known k;
  const NoiseSchedule flow = NoiseSchedule::flow();
  const Tensor ends = times({0, 1, 1}), x = add_noise(k.x0, k.eps, ends, flow), v = k.eps - k.x0;
  CHECK(relative_error(convert(Space::v, Space::x0, v, x, ends, flow), k.x0) < 1e-14);  // not by way of eps / 0
  CHECK(relative_error(convert(Space::v, Space::eps, v, x, ends, flow), k.eps) < 1e-14);
  const NoiseSchedule trig = NoiseSchedule::trig(.5);
  const Tensor late = times({0, trig.t_max(), 1}), y = add_noise(k.x0, k.eps, late, trig);
  const Tensor F = output("edm(.5)").target(k.x0, k.eps, late, trig);
  CHECK(relative_error(output("edm(.5)").read(Space::x0, F, y, late, trig), k.x0) < 1e-14);
  // A state equal to its denoised version has exactly no noise.
  const Tensor one = times({1e-3, 1e-2, 1});
  CHECK(sum(abs(convert(Space::x0, Space::eps, k.x0, k.x0, one, NoiseSchedule::ve()))).item() == 0);
}

TEST_CASE("diffusion prediction: eps to x0 at high noise loses what rounding its inputs loses and no more") {
  const Known k;
  const NoiseSchedule vp = NoiseSchedule::vp();
  const Tensor t = times({999, 999, 990});
  const auto f32 = [](const Tensor& a) { return cast(a, DType::f32); };
  const auto f64 = [](const Tensor& a) { return cast(a, DType::f64); };
  const Tensor x = f32(add_noise(k.x0, k.eps, t, vp)), eps = f32(k.eps);
  const Tensor want = convert(Space::eps, Space::x0, f64(eps), f64(x), t, vp);
  const Tensor got = convert(Space::eps, Space::x0, eps, x, t, vp);
  const double amplification = vp.at(999.).noise / vp.at(999.).signal;  // 157
  CHECK(got.dtype() == DType::f32);
  CHECK(relative_error(f64(got), want) < 2 * amplification * 6e-8);
  // 16-bit predictions are widened before they are subtracted.
  const Tensor half = cast(eps, DType::bf16), half_x = cast(x, DType::bf16);
  const Tensor wide = convert(Space::eps, Space::x0, half, half_x, t, vp);
  CHECK(wide.dtype() == DType::f32);
  CHECK(relative_error(f64(wide), convert(Space::eps, Space::x0, f64(half), f64(half_x), t, vp)) <
        2 * amplification * 6e-8);
}

TEST_CASE("diffusion prediction: conversions are differentiable in value, state and time") {
  const Tensor t = times({.2, .6}), x = randn({2, 3}, 3), value = randn({2, 3}, 4);
  const Tensor in[] = {value, x, t};
  for (const NoiseSchedule& s : {NoiseSchedule::flow(), NoiseSchedule::cosine(), NoiseSchedule::trig(.5)})
    for (const Space to : {Space::x0, Space::score, Space::dxdt}) {
      const auto f = [&](std::span<const Tensor> a) { return Tensors{convert(Space::v, to, a[0], a[1], a[2], s)}; };
      CHECK(check_grads(f, in, {.tolerance = 1e-5}) == "");
    }
}

TEST_CASE("diffusion output: edm is Karras et al.'s preconditioning, on any schedule") {
  const Known k;
  const Output edm = output("edm(.7)");
  const Tensor sigma = times({.05, 1, 40});
  const NoiseSchedule ve = NoiseSchedule::ve();
  const Tensor x = add_noise(k.x0, k.eps, sigma, ve), raw = randn(x.shape(), 9);
  const Tensor total = square(sigma) + .49;
  const Tensor c_skip = .49 / total, c_out = sigma * .7 / sqrt(total), c_in = 1.0 / sqrt(total);
  CHECK(relative_error(edm.input(x, sigma, ve), per_sample(c_in, x) * x) < 1e-14);
  CHECK(relative_error(edm.time(sigma, ve), log(sigma) / 4) < 1e-13);
  CHECK(relative_error(edm.read(Space::x0, raw, x, sigma, ve), per_sample(c_skip, x) * x + per_sample(c_out, x) * raw) <
        1e-12);
  // The same network on another schedule at equal log-SNR sees the same input and says the same sample.
  for (const NoiseSchedule& s : {NoiseSchedule::flow(), NoiseSchedule::vp(), NoiseSchedule::trig(.3)}) {
    const Tensor t = s.time_at(ve.log_snr(sigma)), y = add_noise(k.x0, k.eps, t, s);
    CHECK(relative_error(edm.input(y, t, s), edm.input(x, sigma, ve)) < 1e-6);
    CHECK(relative_error(edm.read(Space::x0, raw, y, t, s), edm.read(Space::x0, raw, x, sigma, ve)) < 1e-6);
  }
}

TEST_CASE("diffusion output: the edm target of data with deviation sigma_data has unit variance at every level") {
  const Output edm = output("edm(.5)");
  const NoiseSchedule ve = NoiseSchedule::ve();
  const Tensor sigma = times({.002, .5, 80}), zero = Tensor::zeros({3, 1}, DType::f64),
               one = Tensor::full({3, 1}, 1, DType::f64);
  // The target is linear in (x0, eps): its variance is the sum of squares of what unit deviations give.
  const Tensor variance = square(edm.target(one * .5, zero, sigma, ve)) + square(edm.target(zero, one, sigma, ve));
  for (const double v : variance.values()) CHECK(v == doctest::Approx(1).epsilon(1e-13));
}

TEST_CASE("diffusion output: trig is minus edm on the trig schedule, v_rf and v_vp do not depend on it") {
  const Known k;
  const NoiseSchedule trig = NoiseSchedule::trig(.5), vp = NoiseSchedule::vp();
  const Tensor t = times({.1, .8, 1.5});
  CHECK(relative_error(output("trig(.5)").target(k.x0, k.eps, t, trig),
                       -output("edm(.5)").target(k.x0, k.eps, t, trig)) < 1e-14);
  const Tensor x = add_noise(k.x0, k.eps, t, trig), F = randn(x.shape(), 4);
  CHECK(relative_error(output("trig(.5)").read(Space::x0, F, x, t, trig),
                       per_sample(cos(t), x) * x - per_sample(sin(t), x) * (F * .5)) < 1e-14);
  CHECK(relative_error(output("trig(.5)").input(x, t, trig), x / .5) < 1e-14);
  const Tensor index = times({5, 300, 990}), y = add_noise(k.x0, k.eps, index, vp);
  CHECK(relative_error(output("v_rf").read(Space::x0, k.eps - k.x0, y, index, vp), k.x0) < 1e-12);
  CHECK(relative_error(output("v_vp").read(Space::eps, output("v_vp").target(k.x0, k.eps, index, vp), y, index, vp),
                       k.eps) < 1e-12);
  CHECK_THROWS_WITH_AS(output("trig").read(Space::x0, F, y, index, vp), doctest::Contains("trig schedule"),
                       ConfigError);
  CHECK_THROWS_WITH_AS(output("v_fr"), doctest::Contains("'v_rf'"), ConfigError);
  CHECK_THROWS_WITH_AS(convert(Space::eps, Space::x0, randn({3, 2}), x, t, trig), doctest::Contains("shape"),
                       ShapeError);
}

TEST_CASE("diffusion noising: the sub-interval target regresses the right field and the naive one does not") {
  // Flow, s = .5, t = .8: target 1.290994 eps - 2 x_s. In one dimension with unit data, Cov(target, x_t) must equal
  // Cov(eps_t - x0, x_t) = .8 - .2 Var(x0): both are bilinear in unit deviations of x0, eps_s and eps.
  const NoiseSchedule flow = NoiseSchedule::flow();
  const Tensor s = times({.5, .5, .5}), t = times({.8, .8, .8});
  const Tensor x0 = times({.3, 0, 0}), eps_s = times({0, 1, 0}), eps = times({0, 0, 1});  // one independent source each
  const Tensor x_s = add_noise(x0, eps_s, s, flow), x_t = renoise(x_s, eps, t, s, flow);
  const Tensor target = subinterval_target(Space::v, x_s, eps, t, s, flow);
  CHECK(relative_error(target, 1.2909944487 * eps - 2.0 * x_s) < 1e-10);
  const double want = .8 - .2 * .09;
  CHECK(sum(target * x_t).item() == doctest::Approx(want).epsilon(1e-12));
  CHECK(std::abs(sum((eps - x_s) * x_t).item() - want) > .1);
  // From clean samples it is the ordinary target.
  const Known k;
  const Tensor zero = times({0, 0, 0});
  for (const Space space : kSpaces)
    CHECK(relative_error(subinterval_target(space, k.x0, k.eps, t, zero, flow), compose(space, k.x0, k.eps, t, flow)) <
          1e-13);
}
