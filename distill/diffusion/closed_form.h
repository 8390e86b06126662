// distill/diffusion/closed_form.h -- data whose denoiser, score, density and flow are known exactly: the oracles.
#pragma once
#include "distill/diffusion/prediction.h"

namespace retort {

/// A mixture of Gaussians as a diffusion teacher. A component is a condition, the whole mixture the null condition.
/// States are [n, ...] with d elements per sample, in f64 or f32 like the parameters; labels i64 [n], where the number
/// of components (or an undefined tensor) means null. All in public ops: differentiable in the state, the time and the
/// parameters, which may be tracked.
class ClosedForm {
 public:
  /// means [k, d]; variance [k] (isotropic), [k, d] (diagonal) or [k, d, d] (covariance), >= 0; log_weights [k], any
  /// constant aside; undefined: equal. Throws ShapeError.
  ClosedForm(Tensor means, Tensor variance, Tensor log_weights = {});

  std::int64_t components() const { return means_.size(0); }
  /// The prediction at x; from (x0, eps) in closed form each, so sound also where one of alpha and sigma is 0.
  Tensor predict(Space space, const Tensor& x, const Tensor& t, const NoiseSchedule& schedule,
                 const Tensor& label = {}) const;
  /// log q_t(x | label), [n].
  Tensor log_density(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule, const Tensor& label = {}) const;
  /// Where the probability flow takes x from t to s, in either direction: alpha_s m + (S_s / S_t)(x - alpha_t m) with
  /// S^2 = alpha^2 variance + sigma^2. Every row must be of one component. Throws ValueError.
  Tensor flow_map(const Tensor& x, const Tensor& t, const Tensor& s, const NoiseSchedule& schedule,
                  const Tensor& label = {}) const;
  /// The clean sample whose ddim_jump from x at t lands where the flow does at s <= t: the answer of an exact network
  /// with two times. At s = t it is the mean of x0. Also sound where alpha_t = 0; variance > 0. Rows as in
  /// flow_map.
  Tensor clean_of_flow(const Tensor& x, const Tensor& t, const Tensor& s, const NoiseSchedule& schedule,
                       const Tensor& label = {}) const;
  /// Share of each component in the density at x, [n, k].
  Tensor responsibilities(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule,
                          const Tensor& label = {}) const;

 private:
  struct Frame;
  Frame frame(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule) const;
  Tensor log_joint(const Frame& f, const Tensor& label) const;
  void require_one_component(const Tensor& x, const Tensor& label) const;
  Tensor mixed(const Tensor& share, const Tensor& per_component, const Tensor& x) const;

  Tensor means_;        // [k, d]
  Tensor basis_;        // [k, d, d], principal axes in columns; undefined: the coordinate axes
  Tensor variance_;     // [k, d] along them
  Tensor log_weights_;  // [k]
};

/// N(mean, variance): mean [d] with a variance [d] or covariance [d, d], or per class as in ClosedForm; or one number
/// for all.
ClosedForm gaussian_teacher(const Tensor& mean, double variance);
ClosedForm gaussian_teacher(const Tensor& mean, const Tensor& variance);
/// The data themselves, [m, ...]: every sample an atom of weight `weights` [m] (equal when undefined). One sample is a
/// point mass. Its score memorises (S186, 2310.12395). Predictions need sigma > 0.
ClosedForm empirical_teacher(const Tensor& data, const Tensor& weights = {});

}  // namespace retort
