// distill/diffusion/prediction.h -- what a prediction about a noisy state means, and the way from each meaning to each.
#pragma once
#include "distill/diffusion/schedule.h"

namespace retort {

/// What a prediction is of. Each is linear in (x0, eps) at a given time:
///   x0     the clean sample (a denoiser)
///   eps    the unit noise
///   v      velocity towards noise: dx/dt on ve, flow and trig (there sigma_data F), alpha eps - sigma x0 on the
///          variance-preserving schedules (Salimans and Ho 2022)
///   score  the gradient of the log density, -eps / sigma
///   dxdt   alpha' x0 + sigma' eps, the probability flow in the schedule's own time; v but for variance-preserving ones
enum class Space : std::uint8_t { x0, eps, v, score, dxdt };

/// Table of spaces by name. ConfigError naming the nearest.
Space make_space(const Call& call);

/// The quantity `to` that goes with `value` of `from` at x [n, ...] and time t [n]: linear in (value, x), in x's dtype,
/// differentiable in all three. 16-bit values are widened to f32. No detour: v gives x0 where alpha = 0 and eps where
/// sigma = 0. eps gives x0 with the error of its rounding times sigma / alpha, which no arithmetic can mend, and
/// infinities at alpha = 0; x0 gives eps likewise at sigma = 0. Throws ShapeError.
Tensor convert(Space from, Space to, const Tensor& value, const Tensor& x, const Tensor& t,
               const NoiseSchedule& schedule);
/// d to / d from at fixed x and t, [n] in f64: differences of predictions at one point are multiplied by it, weights of
/// directions divided (x0 to eps -alpha / sigma, x0 to score alpha / sigma^2, x0 to v -1 / sigma on flow and vp).
Tensor conversion_slope(Space from, Space to, const Tensor& t, const NoiseSchedule& schedule);
/// The quantity `space` of a known pair (x0, eps).
Tensor compose(Space space, const Tensor& x0, const Tensor& eps, const Tensor& t, const NoiseSchedule& schedule);

/// What a network is fed and what its raw answer F stands for (table `out`):
///   x0, eps, score, v    as above
///   v_rf                 eps - x0 whatever the schedule
///   v_vp                 alpha eps - sigma x0 whatever the schedule
///   edm(sigma_data)      D = c_skip x + c_out F(c_in x, log(sigma) / 4) of Karras et al. 2022 on x / alpha, sigma /
///   alpha trig(sigma_data)     v = sigma_data F(x / sigma_data, t) on a trig schedule, where it is minus the F of edm
class Output {
 public:
  enum class Kind : std::uint8_t { x0, eps, score, v, v_rf, v_vp, edm, trig };
  explicit Output(Kind kind, double sigma_data = 0.5) : kind_(kind), sigma_data_(sigma_data) {}
  Kind kind() const { return kind_; }
  double sigma_data() const { return sigma_data_; }
  /// The first argument of the network, x's shape.
  Tensor input(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule) const;
  /// The time that it is told, [n] f64.
  Tensor time(const Tensor& t, const NoiseSchedule& schedule) const;
  /// The prediction that its answer `raw` to input(x) is; differentiable, and sound at both ends as convert.
  Tensor read(Space space, const Tensor& raw, const Tensor& x, const Tensor& t, const NoiseSchedule& schedule) const;
  /// The answer that a pair (x0, eps) asks for: the regression target.
  Tensor target(const Tensor& x0, const Tensor& eps, const Tensor& t, const NoiseSchedule& schedule) const;

 private:
  Kind kind_;
  double sigma_data_;
};

/// Table `out`. ConfigError naming the nearest entry.
Output make_output(const Call& call);

}  // namespace retort
