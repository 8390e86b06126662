// distill/diffusion/boundary.h -- how a network that is told where to go gets there: its answer made into a state at an
// earlier time.
#pragma once
#include "distill/diffusion/prediction.h"

namespace retort {

/// Where a prediction of the clean sample x0 at x (time t) takes the state at s <= t. Each is x itself at s = t, to the
/// bit and whatever x0 is, so a network starts as the identity at the end of its jumps (but `plain`, which only goes to
/// the clean end). Table `boundary`:
///   ddim_jump                   r x + (alpha_s - alpha_t r) x0, r = sigma_s / sigma_t (Song et al. 2021). It is also
///   ctm                           (s / t) x + (1 - s / t) x0 on ve (Kim et al. 2024),
///   trig                          cos(t - s) x - sin(t - s) sigma_data F on trig (Lu and Song 2024), and
///   mean_velocity                 x - (t - s) u on flow and ve, u the network's dx/dt (Geng et al. 2025),
///                               names that are refused on other schedules; ctm and mean_velocity want a network that
///                               is told s
///   cm(sigma_data=.5 sigma_min=.002)   c_skip x + c_out F on ve, F the network of edm(sigma_data): to sigma_min only.
///                               c_skip = sd^2 / ((sigma - sigma_min)^2 + sd^2), c_out = (sigma - sigma_min) sd /
///                               sqrt(sigma^2 + sd^2) (Song et al. 2023)
///   lcm(sigma_data=.5 time_scale=10)   c_skip x + c_out x0 on vp, tau = time_scale t: c_skip = sd^2 / (tau^2 + sd^2),
///                               c_out = tau / sqrt(tau^2 + sd^2) (Luo et al. 2023): to index 0 only
///   plain                       x0
class Boundary {
 public:
  enum class Kind : std::uint8_t { ddim_jump, cm, lcm, plain };
  explicit Boundary(Kind kind = Kind::ddim_jump, double sigma_data = .5, double scale = 0)
      : kind_(kind), sigma_data_(sigma_data), scale_(scale) {}
  Kind kind() const { return kind_; }
  /// x0 and x [n, ...], t and s [n]; differentiable in all of them.
  Tensor jump(const Tensor& x0, const Tensor& x, const Tensor& t, const Tensor& s, const NoiseSchedule& schedule) const;

 private:
  Kind kind_;
  double sigma_data_, scale_;  ///< of cm sigma_min, of lcm time_scale
};

/// The clean sample whose ddim_jump from x (t) lands on x_s (s < t): what a network that jumps is to predict.
Tensor clean_of_jump(const Tensor& x_s, const Tensor& x, const Tensor& t, const Tensor& s,
                     const NoiseSchedule& schedule);

/// ConfigError naming the nearest entry, or the schedule that one wants.
Boundary make_boundary(const Call& call, const NoiseSchedule& schedule);
/// The entry of this name is of networks with two times.
bool wants_end_time(const Call& boundary);

}  // namespace retort
