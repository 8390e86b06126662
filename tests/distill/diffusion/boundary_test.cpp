// tests/distill/diffusion/boundary_test.cpp -- table `boundary`: the identity at the end of a jump, the papers' own
// forms, and the exact maps of Gaussians.
#include "distill/diffusion/boundary.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "distill/diffusion/closed_form.h"
#include "distill/diffusion/step.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor times(std::int64_t n, double t) { return Tensor::full({n}, t, DType::f64); }
Boundary boundary(const std::string& text, const NoiseSchedule& s) {
  return make_boundary(parse_call(text, "test"), s);
}
std::vector<NoiseSchedule> schedules() {
  return {NoiseSchedule::ve(.01, 5), NoiseSchedule::flow(),          NoiseSchedule::trig(.8),
          NoiseSchedule::vp(),       NoiseSchedule::vp_continuous(), NoiseSchedule::cosine()};
}
double at_share(const NoiseSchedule& s, double u) { return std::lerp(s.t_min(), s.t_max(), u); }
const Tensor kX = randn({3, 2}, 5), kRaw = randn({3, 2}, 6);
}  // namespace

TEST_CASE("diffusion boundary: a jump that ends where it begins is the identity, to the bit") {
  for (const NoiseSchedule& s : schedules())
    for (const double u : {.1, .6, 1.}) {
      const Tensor t = times(3, at_share(s, u));
      CHECK(boundary("ddim_jump", s).jump(kRaw, kX, t, t, s).values() == kX.values());
    }
  const NoiseSchedule flow = NoiseSchedule::flow();
  CHECK(boundary("ddim_jump", flow).jump(kRaw, kX, times(3, 0), times(3, 0), flow).values() == kX.values());
  const NoiseSchedule ve = NoiseSchedule::ve(), vp = NoiseSchedule::vp();
  CHECK(boundary("cm", ve).jump(kRaw, kX, times(3, .002), times(3, .002), ve).values() == kX.values());
  CHECK(boundary("lcm", vp).jump(kRaw, kX, times(3, 0), times(3, 0), vp).values() == kX.values());
  CHECK(relative_error(boundary("lcm", vp).jump(kRaw, kX, times(3, 500), times(3, 0), vp), kRaw) < 1e-3);
}

TEST_CASE("diffusion boundary: the heads of CTM, TrigFlow and mean velocities are jumps of DDIM") {
  const auto same = [&](const std::string& name, const NoiseSchedule& s, double t, double u, const Tensor& own) {
    CHECK(relative_error(boundary(name, s).jump(kRaw, kX, times(3, t), times(3, u), s), own) < 1e-12);
  };
  same("ctm", NoiseSchedule::ve(), 3, .5, kX * (.5 / 3) + kRaw * (1 - .5 / 3));
  const NoiseSchedule trig = NoiseSchedule::trig(.8), flow = NoiseSchedule::flow();
  const Tensor F = convert(Space::x0, Space::v, kRaw, kX, times(3, 1.1), trig);
  same("trig", trig, 1.1, .3, kX * std::cos(.8) - F * std::sin(.8));
  const Tensor u = convert(Space::x0, Space::dxdt, kRaw, kX, times(3, .7), flow);
  same("mean_velocity", flow, .7, .2, kX - u * .5);
}

TEST_CASE("diffusion boundary: the consistency head is skip and scale of the EDM network") {
  const NoiseSchedule ve = NoiseSchedule::ve();
  const double t = 1.7, sd = .6, low = .01;
  const Output edm(Output::Kind::edm, sd);
  const Tensor denoised = edm.read(Space::x0, kRaw, kX, times(3, t), ve);
  const double skip = sd * sd / ((t - low) * (t - low) + sd * sd), out = (t - low) * sd / std::sqrt(t * t + sd * sd);
  const Tensor head = boundary("cm(.6 .01)", ve).jump(denoised, kX, times(3, t), times(3, low), ve);
  CHECK(relative_error(head, kX * skip + kRaw * out) < 1e-12);
}

TEST_CASE("diffusion boundary: the clean sample of an exact jump is finite everywhere and lands on the flow") {
  const ClosedForm q = gaussian_teacher(Tensor::from(std::vector{.7, -.4}, {2}, DType::f64), .3);
  for (const NoiseSchedule& s : schedules()) {
    CAPTURE(static_cast<int>(s.kind()));
    for (const auto& [from, to] : {std::pair{1., .4}, std::pair{.8, 0.}, std::pair{.3, .29}}) {
      const Tensor t = times(3, at_share(s, from)), e = times(3, to == 0 ? s.clean() : at_share(s, to));
      const Tensor clean = q.clean_of_flow(kX, t, e, s);
      CHECK(relative_error(boundary("ddim_jump", s).jump(clean, kX, t, e, s), q.flow_map(kX, t, e, s)) < 1e-9);
      if (from < 1) CHECK(relative_error(clean_of_jump(q.flow_map(kX, t, e, s), kX, t, e, s), clean) < 1e-7);
    }
    for (const double u : {.5, 1.}) {
      const Tensor t = times(3, at_share(s, u));
      CHECK(relative_error(q.clean_of_flow(kX, t, t, s), q.predict(Space::x0, kX, t, s)) < 1e-12);
    }
  }
  const NoiseSchedule flow = NoiseSchedule::flow();
  const Tensor noise = q.clean_of_flow(kX, times(3, 1), times(3, 0), flow);
  CHECK(relative_error(noise, Tensor::from(std::vector{.7, -.4}, {2}, DType::f64) + kX * std::sqrt(.3)) < 1e-12);
}

TEST_CASE("diffusion boundary: names of other schedules are refused") {
  const NoiseSchedule vp = NoiseSchedule::vp();
  for (const char* name : {"ctm", "trig", "mean_velocity", "cm"})
    CHECK_THROWS_WITH_AS(boundary(name, vp), doctest::Contains("another schedule"), ConfigError);
  CHECK_THROWS_WITH_AS(boundary("ddim", vp), doctest::Contains("ddim_jump"), ConfigError);
  CHECK(wants_end_time(parse_call("ctm", "test")));
  CHECK(!wants_end_time(parse_call("lcm", "test")));
}
