#include "distill/diffusion/noising.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"

namespace retort {

namespace {
Tensor noised(const Tensor& x, const Tensor& eps, const SignalNoise<Tensor>& level) {
  return per_sample(level.signal, x) * x + per_sample(level.noise, eps) * eps;
}
}  // namespace

Tensor add_noise(const Tensor& x0, const Tensor& eps, const Tensor& t, const NoiseSchedule& schedule) {
  return noised(x0, eps, schedule.at(t));
}

Tensor renoise(const Tensor& x_s, const Tensor& eps, const Tensor& t, const Tensor& s, const NoiseSchedule& schedule) {
  return noised(x_s, eps, transition(schedule, t, s));
}

Tensor subinterval_target(Space space, const Tensor& x_s, const Tensor& eps, const Tensor& t, const Tensor& s,
                          const NoiseSchedule& schedule) {
  const SignalNoise<Tensor> late = schedule.at(t), early = schedule.at(s), between = transition(schedule, t, s);
  const Tensor x0 = x_s / per_sample(early.signal, x_s) -
                    per_sample(between.signal * square(early.noise) / (early.signal * between.noise), eps) * eps;
  return compose(space, x0, per_sample(late.noise / between.noise, eps) * eps, t, schedule);
}

}  // namespace retort
