// tests/distill/diffusion/closed_form_test.cpp -- the exact teachers against plain loops, their own density, and the
// identities of flow maps.
#include "distill/diffusion/closed_form.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "autograd/check_grads.h"
#include "autograd/jvp.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/diffusion/noising.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor vec(std::vector<double> v) { return Tensor::from(v, {static_cast<std::int64_t>(v.size())}, DType::f64); }
Tensor ids(std::vector<std::int64_t> v) { return Tensor::of<std::int64_t>(v, {static_cast<std::int64_t>(v.size())}); }
Tensor times(std::int64_t n, double t) { return Tensor::full({n}, t, DType::f64); }

std::vector<NoiseSchedule> schedules() {
  return {NoiseSchedule::ve(.01, 5), NoiseSchedule::flow(),          NoiseSchedule::trig(.8),
          NoiseSchedule::vp(),       NoiseSchedule::vp_continuous(), NoiseSchedule::cosine()};
}
double at_share(const NoiseSchedule& s, double u) { return std::lerp(s.t_min(), s.t_max(), u); }

ClosedForm mixture() {
  return ClosedForm(randn({3, 2}, 11), vec({.3, .7, 1.1}), vec({std::log(.5), std::log(.2), std::log(.3)}));
}

/// Directional derivative of f(x, t) along (dx, dt).
using Field = std::function<Tensor(const Tensor&, const Tensor&)>;
Tensor along(const Field& f, const Tensor& x, const Tensor& t, const Tensor& dx, double dt) {
  const Tensor primal[] = {x, t}, tangent[] = {dx, Tensor::full(t.shape(), dt, DType::f64)};
  const auto call = [&](std::span<const Tensor> in) { return Tensors{f(in[0], in[1])}; };
  return jvp(call, primal, tangent, JvpMode::detached).tangent[0];
}
double size(const Tensor& t) { return std::sqrt(sum(square(t)).item()); }
}  // namespace

TEST_CASE("closed form: a mixture is what plain loops say") {
  const NoiseSchedule vp = NoiseSchedule::vp();
  const ClosedForm q = mixture();
  const auto m = randn({3, 2}, 11).values();
  const double v[] = {.3, .7, 1.1}, w[] = {.5, .2, .3};
  const Tensor x = randn({4, 2}, 5);
  const auto xs = x.values();
  const std::vector<double> index = {20, 300, 600, 950};
  const std::vector<std::int64_t> labels = {3, 1, 3, 0};
  const auto x0 = q.predict(Space::x0, x, vec(index), vp, ids(labels)).values();
  const auto log_q = q.log_density(x, vec(index), vp, ids(labels)).values();
  for (std::size_t i = 0; i < 4; ++i) {
    const auto [alpha, sigma] = vp.at(index[i]);
    double total = 0, mean[2] = {0, 0};
    for (std::size_t k = 0; k < 3; ++k) {
      if (labels[i] != 3 && labels[i] != static_cast<std::int64_t>(k)) continue;
      const double s2 = alpha * alpha * v[k] + sigma * sigma;
      double r2 = 0;
      for (std::size_t d = 0; d < 2; ++d) r2 += std::pow(xs[2 * i + d] - alpha * m[2 * k + d], 2);
      const double p = (labels[i] == 3 ? w[k] : 1) * std::exp(-r2 / (2 * s2)) / (2 * std::numbers::pi * s2);
      total += p;
      for (std::size_t d = 0; d < 2; ++d) {
        const double centre = m[2 * k + d];
        mean[d] += p * (centre + alpha * v[k] / s2 * (xs[2 * i + d] - alpha * centre));
      }
    }
    CHECK(log_q[i] == doctest::Approx(std::log(total)).epsilon(1e-12));
    for (std::size_t d = 0; d < 2; ++d) CHECK(x0[2 * i + d] == doctest::Approx(mean[d] / total).epsilon(1e-11));
  }
}

TEST_CASE("closed form: the score is the gradient of the log density, the other spaces follow from it") {
  const Tensor L = randn({2, 3, 3}, 7);
  const ClosedForm teachers[] = {mixture(), ClosedForm(randn({2, 3}, 8), matmul(L, L, false, true)),
                                 gaussian_teacher(randn({2}, 3), vec({.4}) * randn({2}, 4) * randn({2}, 4)),
                                 empirical_teacher(randn({5, 2}, 6), vec({1, 2, 3, 4, 5}))};
  for (const ClosedForm& q : teachers)
    for (const NoiseSchedule& s : schedules()) {
      const std::int64_t d = &q == &teachers[1] ? 3 : 2;
      const Tensor t = vec({at_share(s, .2), at_share(s, .6), at_share(s, .9)});
      for (const Tensor& label : {Tensor(), ids({0, q.components(), q.components() - 1})}) {
        Tape tape;
        const Tensor x = tape.watch(randn({3, d}, 9));
        const Tensor total = sum(q.log_density(x, t, s, label));
        const Tensor score = tape.gradients(total, std::span(&x, 1))[0];
        const Tensor raw = stop_gradient(x);
        CHECK(relative_error(q.predict(Space::score, raw, t, s, label), score) < 1e-11);
        for (const Space to : {Space::x0, Space::eps, Space::v, Space::dxdt})
          CHECK(relative_error(q.predict(to, raw, t, s, label), convert(Space::score, to, score, raw, t, s)) < 1e-9);
      }
    }
}

TEST_CASE("closed form: differentiable in state, time and parameters") {
  const NoiseSchedule s = NoiseSchedule::trig(.8);
  const Tensor in[] = {randn({2, 2}, 1), vec({.3, 1.1}), randn({3, 2}, 2), vec({.3, .5, .8}), vec({.1, -.4, .2})};
  const auto f = [&](std::span<const Tensor> a) {
    const ClosedForm q(a[2], a[3], a[4]);
    return Tensors{q.predict(Space::x0, a[0], a[1], s), q.log_density(a[0], a[1], s, ids({2, 3}))};
  };
  CHECK(check_grads(f, in, {.tolerance = 1e-5}) == "");
  const auto flow = [&](std::span<const Tensor> a) {
    return Tensors{ClosedForm(a[2], a[3]).flow_map(a[0], a[1], a[1] * .5, s, ids({2, 0}))};
  };
  CHECK(check_grads(flow, in, {.tolerance = 1e-5}) == "");
}

TEST_CASE("closed form: the flow map of a Gaussian satisfies every identity of flow maps") {
  const Tensor L = randn({2, 3, 3}, 7), label = ids({1, 0, 1, 0});
  const ClosedForm q(randn({2, 3}, 8), matmul(L, L, false, true));
  const Tensor x = randn({4, 3}, 9);
  for (const NoiseSchedule& s : schedules()) {
    const Tensor t = times(4, at_share(s, .81)), u = times(4, at_share(s, .523)), e = times(4, at_share(s, .2137));
    const auto map = [&](const Tensor& from, const Tensor& a, const Tensor& b) {
      return q.flow_map(from, a, b, s, label);
    };
    const auto field = [&](const Tensor& at, const Tensor& time) { return q.predict(Space::dxdt, at, time, s, label); };
    const Tensor velocity = field(x, t);
    CHECK(relative_error(map(x, t, t), x) < 1e-13);
    CHECK(relative_error(map(map(x, t, u), u, e), map(x, t, e)) < 1e-12);  // semigroup
    CHECK(relative_error(map(map(x, t, e), e, t), x) < 1e-11);             // inverse
    // Lagrangian: d X_{t->s} / ds is the velocity at the end.
    const auto to = [&](const Tensor& from, const Tensor& end) { return map(from, t, end); };
    const Tensor none = Tensor::zeros(x.shape(), DType::f64), end_velocity = field(map(x, t, e), e);
    const Tensor moved = along(to, x, e, none, 1);
    CHECK(relative_error(moved, end_velocity) < 1e-10);
    CHECK(size(moved + end_velocity) > size(end_velocity));  // with the sign flipped
    // Eulerian: dX/dt + (dX/dx) velocity = 0.
    const auto from = [&](const Tensor& start, const Tensor& time) { return map(start, time, e); };
    CHECK(size(along(from, x, t, velocity, 1)) < 1e-9 * size(along(from, x, t, velocity, 0)));
    CHECK(size(along(from, x, t, velocity, -1)) > .1 * size(along(from, x, t, velocity, 0)));
    // MeanFlow: u = (x - X) / (t - s) and u = velocity - (t - s) du/dt.
    const auto mean_velocity = [&](const Tensor& start, const Tensor& time) {
      return (start - map(start, time, e)) / per_sample(time - e, start);
    };
    const Tensor step = per_sample(t - e, x), change = along(mean_velocity, x, t, velocity, 1);
    CHECK(relative_error(velocity - step * change, mean_velocity(x, t)) < 1e-9);
    CHECK(relative_error(velocity + step * change, mean_velocity(x, t)) > 1e-2);
    // Progressive self-distillation: the mean velocity over t->e is the share-weighted mean of its two parts.
    const Tensor first = (x - map(x, t, u)) / per_sample(t - u, x);
    const Tensor second = (map(x, t, u) - map(x, t, e)) / per_sample(u - e, x);
    const Tensor share = per_sample((t - u) / (t - e), x);
    CHECK(relative_error(share * first + (1.0 - share) * second, mean_velocity(x, t)) < 1e-11);
    CHECK(relative_error((1.0 - share) * first + share * second, mean_velocity(x, t)) > 1e-3);
  }
}

TEST_CASE("closed form: a centred Gaussian of deviation k has D = alpha k^2 / S^2 x and X = S_s / S_t x") {
  const double k = .6;
  const ClosedForm q = gaussian_teacher(vec({0}), k * k);
  const Tensor x = vec({1.7});
  const Tensor state = reshape(x, {1, 1});
  for (const NoiseSchedule& s : schedules()) {
    const double t = at_share(s, .7), e = at_share(s, .25);
    const auto S = [&](double time) { return std::hypot(s.at(time).signal * k, s.at(time).noise); };
    CHECK(q.predict(Space::x0, state, vec({t}), s).item() ==
          doctest::Approx(s.at(t).signal * k * k / (S(t) * S(t)) * 1.7).epsilon(1e-12));
    CHECK(q.flow_map(state, vec({t}), vec({e}), s).item() == doctest::Approx(S(e) / S(t) * 1.7).epsilon(1e-12));
  }
  // Optimum of denoising score matching: the value per element is k^2 / (sigma^2 (k^2 + sigma^2)); by linearity in
  // (x0, eps) the expectation is the sum of squares at unit deviations of each.
  const NoiseSchedule ve = NoiseSchedule::ve();
  const Tensor sigma = vec({.8, .8}), x0 = reshape(vec({k, 0}), {2, 1}), eps = reshape(vec({0, 1}), {2, 1});
  const Tensor score = q.predict(Space::score, add_noise(x0, eps, sigma, ve), sigma, ve);
  CHECK(sum(square(score + eps / .8)).item() == doctest::Approx(k * k / (.64 * (k * k + .64))).epsilon(1e-12));
}

TEST_CASE("closed form: the sCM tangent vanishes at the optimum and not with its JVP sign flipped") {
  for (const double k : {.5, .9}) {  // data deviation; sigma_data is .5
    const NoiseSchedule trig = NoiseSchedule::trig(.5);
    const ClosedForm q = gaussian_teacher(vec({0}), k * k);
    const Tensor x = reshape(vec({.3, -1.1, .8}), {3, 1}), t = vec({.2, .9, 1.5}), zero = vec({0, 0, 0});
    const Tensor c = per_sample(cos(t), x), s = per_sample(sin(t), x);
    // sigma_data F of the exact consistency function f = X_{t->0} = cos t x - sin t sigma_data F.
    const auto F = [&](const Tensor& at, const Tensor& time) {
      return (per_sample(cos(time), at) * at - q.flow_map(at, time, zero, trig)) / per_sample(sin(time), at);
    };
    if (k == .5) CHECK(relative_error(F(x, t), -per_sample(sin(t * .5) / cos(t * .5), x) * x) < 1e-12);
    const Tensor velocity = q.predict(Space::v, x, t, trig);
    const auto rotated = [&](const Tensor& at, const Tensor& time) { return F(at, time); };
    const Tensor change = c * s * along(rotated, x, t, velocity, 1);
    const auto g = [&](double sign) { return -square(c) * (F(x, t) - velocity) - (c * s * x + sign * change); };
    CHECK(size(g(1)) < 1e-12);
    CHECK(size(g(-1)) > .1);
  }
}

TEST_CASE("closed form: RF1 seen through the trig wrapper") {
  const NoiseSchedule flow = NoiseSchedule::flow(), trig = NoiseSchedule::trig(1);
  const ClosedForm q = mixture();
  const Tensor x = randn({3, 2}, 4), t = vec({.1, .8, 1.4});
  const Tensor u = flow.time_at(trig.log_snr(t)), total = per_sample(cos(t) + sin(t), x);
  const Tensor v = q.predict(Space::v, x / total, u, flow);
  const Tensor x0 = (x - per_sample(sin(t), x) * v) / total;
  CHECK(relative_error(x0, q.predict(Space::x0, x, t, trig)) < 1e-12);
  CHECK(relative_error((per_sample(cos(t), x) * x - x0) / per_sample(sin(t), x), q.predict(Space::v, x, t, trig)) <
        1e-12);
}

TEST_CASE("closed form: SnapFlow's two half steps are not the exact map, MDT's target is a fixed point") {
  const NoiseSchedule flow = NoiseSchedule::flow();
  for (const double k : {1., .5}) {
    const ClosedForm q = gaussian_teacher(vec({0}), k * k);
    const auto v = [&](double at, double t) {
      return q.predict(Space::v, reshape(vec({at}), {1, 1}), vec({t}), flow).item();
    };
    const double first = v(1, 1), half = v(1 - first / 2, .5), one_step = 1 - (first + half) / 2;
    CHECK(one_step == doctest::Approx(k * k / (1 + k * k)).epsilon(1e-13));
    CHECK(std::abs(one_step - k) > .2);
    // v_tgt = v_T - t dv/dt with v the exact mean velocity to 0: by JVP exact, by a difference of .01 within 3e-3 or
    // so.
    const Tensor x = reshape(vec({.7}), {1, 1}), t = vec({.6}), zero = vec({0});
    const auto mean = [&](const Tensor& at, const Tensor& time) {
      return (at - q.flow_map(at, time, zero, flow)) / per_sample(time, at);
    };
    const Tensor teacher = q.predict(Space::v, x, t, flow), change = along(mean, x, t, teacher, 1);
    CHECK(relative_error(teacher - .6 * change, mean(x, t)) < 1e-10);
    const Tensor difference = (mean(x, t) - mean(x - .01 * teacher, t - .01)) / .01;
    const double error = std::abs((teacher - .6 * difference - mean(x, t)).item());
    CHECK(error < 1e-2);
    CHECK(error > 1e-5);
  }
}

TEST_CASE("closed form: data atoms") {
  const NoiseSchedule flow = NoiseSchedule::flow();
  const Tensor atom = randn({1, 3}, 2), x = randn({2, 3}, 3), t = vec({.3, .9});
  const ClosedForm point = empirical_teacher(atom);
  // One point: velocity (x - m) / t, and the noise is constant along its path.
  CHECK(relative_error(point.predict(Space::v, x, t, flow), (x - atom) / per_sample(t, x)) < 1e-13);
  const Tensor later = point.flow_map(x, t, t * .4, flow);
  CHECK(relative_error(point.predict(Space::eps, later, t * .4, flow), point.predict(Space::eps, x, t, flow)) < 1e-13);
  // Two points +-1 of one dimension: D = tanh(alpha x / sigma^2).
  const ClosedForm two = empirical_teacher(reshape(vec({1, -1}), {2, 1}));
  const Tensor y = reshape(vec({.2, -.5}), {2, 1});
  const auto level = flow.at(t);
  CHECK(relative_error(two.predict(Space::x0, y, t, flow),
                       tanh(per_sample(level.signal / square(level.noise), y) * y)) < 1e-12);
  // Weights: an atom of weight 3 is three atoms.
  const ClosedForm heavy = empirical_teacher(reshape(vec({1, -1}), {2, 1}), vec({3, 1}));
  const ClosedForm copies = empirical_teacher(reshape(vec({1, 1, 1, -1}), {4, 1}));
  CHECK(relative_error(heavy.predict(Space::x0, y, t, flow), copies.predict(Space::x0, y, t, flow)) < 1e-13);
  CHECK(relative_error(heavy.predict(Space::x0, y, t, flow), two.predict(Space::x0, y, t, flow)) > 1e-2);
  // Images keep their shape, and a label picks its atom.
  const ClosedForm images = empirical_teacher(randn({4, 3, 2, 2}, 5));
  const Tensor image = randn({2, 3, 2, 2}, 6), picked = images.predict(Space::x0, image, t, flow, ids({2, 0}));
  CHECK(picked.shape() == image.shape());
  CHECK(relative_error(slice(picked, 0, 0, 1), slice(randn({4, 3, 2, 2}, 5), 0, 2, 3)) < 1e-13);
}

TEST_CASE("closed form: errors") {
  const NoiseSchedule flow = NoiseSchedule::flow();
  CHECK_THROWS_WITH_AS(mixture().flow_map(randn({1, 2}), vec({1}), vec({0}), flow), doctest::Contains("no closed form"),
                       ValueError);
  CHECK_THROWS_WITH_AS(mixture().predict(Space::x0, randn({1, 3}), vec({1}), flow), doctest::Contains("2 elements"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(ClosedForm(randn({2, 3}), randn({3})), doctest::Contains("closed_form"), ShapeError);
}
