// distill/diffusion/noising.h -- states made from samples: fresh noise, noise on top of noise, and what it is to
// regress.
#pragma once
#include "distill/diffusion/prediction.h"

namespace retort {

/// alpha x0 + sigma eps at times t [n]; x's dtype.
Tensor add_noise(const Tensor& x0, const Tensor& eps, const Tensor& t, const NoiseSchedule& schedule);
/// The state at t reached from x_s at s <= t with fresh noise: transition's signal x_s + noise eps.
Tensor renoise(const Tensor& x_s, const Tensor& eps, const Tensor& t, const Tensor& s, const NoiseSchedule& schedule);
/// A target whose conditional mean given x_t = renoise(x_s, eps, t, s) is the prediction `space` at x_t, when only x_s
/// (noisy unless s is clean) is known: eps_t = (sigma_t / sigma_{t|s}) eps and x0 = x_s / alpha_s - (alpha_t sigma_s^2
/// / (alpha_s^2 sigma_{t|s})) eps (Phased DMD, 2510.27684). Needs s < t.
Tensor subinterval_target(Space space, const Tensor& x_s, const Tensor& eps, const Tensor& t, const Tensor& s,
                          const NoiseSchedule& schedule);

}  // namespace retort
