// tests/distill/diffusion/score_matching_test.cpp -- score implicit matching's gradient on exact Gaussians.
#include <doctest/doctest.h>

#include "autograd/tape.h"
#include "distill/diffusion/closed_form.h"
#include "distill/diffusion/noising.h"
#include "distill/objectives/direction.h"
#include "tests/distill/diffusion/quadrature.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// d/dm, d/ds of the term for x = m + s z, m = -.4, s = .6, against the teacher N(.7, 1.3) at t of the flow schedule
/// stretched to alpha .8, sigma .5: x_t = .8 x + .5 eps is .8 + .5 = 1.3 times the state of time .5 / 1.3.
std::pair<double, double> gradient(double c, bool live) {
  const NoiseSchedule schedule = NoiseSchedule::flow();
  const NormalPairs nodes(48);
  Tape tape;
  const Tensor m = tape.watch(Tensor::scalar(-.4, DType::f64)), s = tape.watch(Tensor::scalar(.6, DType::f64));
  const Tensor x = m + s * nodes.z;
  const Tensor t = Tensor::full({x.shape()[0]}, .5 / 1.3, DType::f64);
  const Tensor z = add_noise(x, nodes.eps, t, schedule);
  const auto score = [&](const Tensor& mean, const Tensor& variance) {
    return ClosedForm(reshape(mean, {1, 1}), reshape(variance, {1})).predict(Space::score, z, t, schedule);
  };
  const Tensor tracker = score(Tensor::scalar(-.4, DType::f64), Tensor::scalar(.36, DType::f64));
  const Tensor teacher = score(Tensor::scalar(.7, DType::f64), Tensor::scalar(1.3, DType::f64));
  DirectionSpec spec;
  spec.name = "sim";
  spec.plan.states = {{"z", "t", {}}};
  spec.space = Space::score;
  spec.state = "z";
  spec.estimator = DirectionSpec::Estimator::sim;
  const auto number = [](double value) { return Weight::of(Call{fmt::format("{}", value), {}, "test"}, {}); };
  spec.c = number(c);
  spec.summands = {{number(1), {}, 0}, {number(-1), {}, 0}};
  spec.weight = [&](const WeightQuery&) { return reshape(nodes.weight, {x.shape()[0]}); };
  Batch batch;
  batch.x = x;
  const TensorMap states{{"x", x}, {"z", z}, {"t", t}};
  const Tensor far = live ? teacher : stop_gradient(teacher);
  const Part part = make_direction(spec)->eval({batch, {{tracker}, {far}}, {}, states, &schedule});
  const Tensors g = tape.gradients(part.total, std::vector<Tensor>{m, s});
  return {g[0].item(), g[1].item()};
}
}  // namespace

TEST_CASE("score implicit matching: the gradient of E d(s_p - s_q) with the samples' law held fixed") {
  // In the state 1.3 times smaller scores are 1.3 times larger: c = 2 there is 2.6 here, and the gradient 1.3 as large.
  const auto [m, s] = gradient(2 * 1.3, true);
  CHECK(m / 1.3 == doctest::Approx(-.543609).epsilon(1e-5));
  CHECK(s / 1.3 == doctest::Approx(-.678331).epsilon(1e-5));
  // With the teacher's share of y held constant it is another.
  const auto [constant_m, constant_s] = gradient(2 * 1.3, false);
  CHECK(std::abs(constant_s / 1.3 + .678331) > .05);
}
