// distill/diffusion/schedule.h -- how much signal and how much noise a state holds at each time.
#pragma once
#include <memory>
#include <vector>

#include "distill/train/call.h"
#include "tensor/tensor.h"

namespace retort {

/// A state is x_t = signal x0 + noise eps with eps ~ N(0, I). T is double, or Tensor for a tensor of times.
template <class T>
struct SignalNoise {
  T signal;  ///< alpha
  T noise;   ///< sigma
};

/// How the betas of a discrete variance-preserving process grow from `begin` to `end` over `steps`: linear (Ho et al.
/// 2020), scaled_linear (their square roots do, as in latent diffusion), cosine (Nichol and Dhariwal 2021; takes no
/// begin and end).
struct Betas {
  enum class Law : std::uint8_t { linear, scaled_linear, cosine } law = Law::linear;
  double begin = 1e-4, end = 0.02;
  int steps = 1000;
};

/// alpha(t) and sigma(t). A larger t is noisier; t is in the schedule's own coordinate:
///   ve             alpha 1, sigma t (Karras et al. 2022)
///   flow           alpha 1 - t, sigma t, t in [0, 1] (rectified flow, data at 0)
///   trig(sd)       alpha cos t, sigma sd sin t, t in [0, pi/2] (Lu and Song 2024)
///   vp             alpha^2 = prod_{j <= t} (1 - beta_j), sigma^2 = 1 - alpha^2, t an index in [0, steps - 1]; between
///                  indices log alpha is linear, and index -1, the empty product, is clean
///   vp_continuous  log alpha = -t^2 (b1 - b0) / 4 - t b0 / 2, t in [0, 1] (Song et al. 2021)
///   cosine(o)      alpha = cos((t + o) / (1 + o) pi / 2) / cos(o / (1 + o) pi / 2), t in [0, 1], continuous
/// Times given as doubles are checked; times in tensors (any shape, f32, f64 or integers) are not. Coefficients of
/// tensors are f64, written in public ops: they have derivatives of every order in t (vp: within a pair of indices).
class NoiseSchedule {
 public:
  enum class Kind : std::uint8_t { ve, flow, trig, vp, vp_continuous, cosine };

  static NoiseSchedule ve(double sigma_min = 0.002, double sigma_max = 80);
  static NoiseSchedule flow();
  static NoiseSchedule trig(double sigma_data = 0.5);
  static NoiseSchedule vp(const Betas& betas = {});
  static NoiseSchedule vp_continuous(double beta_min = 0.1, double beta_max = 20);
  static NoiseSchedule cosine(double offset = 0.008);

  Kind kind() const { return kind_; }
  /// alpha^2 + sigma^2 = 1 in a time other than the angle: vp, vp_continuous, cosine.
  bool variance_preserving() const { return kind_ >= Kind::vp; }
  /// The data deviation of trig; 1 for the others.
  double sigma_data() const { return kind_ == Kind::trig ? a_ : 1; }

  /// Times that training draws from; inside it alpha and sigma are positive, but for the ends of flow and trig.
  double t_min() const { return t_min_; }
  double t_max() const { return t_max_; }
  /// The time without noise.
  double clean() const { return kind_ == Kind::vp ? -1 : 0; }

  /// alpha and sigma, their derivatives in t, and log(alpha^2 / sigma^2). ValueError for a double outside [clean(),
  /// t_max()], vp and cosine; below 0 for all but vp.
  SignalNoise<double> at(double t) const;
  SignalNoise<Tensor> at(const Tensor& t) const;
  SignalNoise<double> rate(double t) const;
  SignalNoise<Tensor> rate(const Tensor& t) const;
  double log_snr(double t) const;
  Tensor log_snr(const Tensor& t) const;

  /// The time with this log(alpha^2 / sigma^2): where two schedules meet (their states then differ by the factor
  /// sigma_B / sigma_A). vp clips to [clean(), t_max()]. Tensors: f64, derivatives of every order for ve, flow and
  /// vp_continuous; for the others, which are inverted on the host, of first order.
  double time_at(double log_snr) const;
  Tensor time_at(const Tensor& log_snr) const;

 private:
  NoiseSchedule(Kind kind, double t_min, double t_max, double a = 0, double b = 0)
      : kind_(kind), t_min_(t_min), t_max_(t_max), a_(a), b_(b) {}
  template <class T>
  SignalNoise<T> level(const T& t) const;
  template <class T>
  SignalNoise<T> slope(const T& t) const;
  template <class T>
  SignalNoise<T> log_signal(const T& t) const;
  template <class T>
  T closed_inverse(const T& log_snr) const;
  double table_inverse(double log_signal) const;
  void check(double t) const;

  Kind kind_;
  double t_min_, t_max_;
  double a_, b_;  ///< trig: sigma_data; vp_continuous: beta_min, beta_max; cosine: offset
  std::shared_ptr<const std::vector<double>> log_signal_;  ///< vp: log alpha at indices -1, 0, ..., steps - 1
};

/// Table `schedule`: ve(sigma_min sigma_max), flow, trig(sigma_data), vp(law begin end steps) with the law linear,
/// scaled_linear or cosine, vp_continuous(beta_min beta_max), cosine(offset). ConfigError naming the nearest entry.
NoiseSchedule make_schedule(const Call& call);

/// Noise between two times s <= t: x_t = signal x_s + noise eps, where signal = alpha_t / alpha_s and
/// noise^2 = sigma_t^2 - signal^2 sigma_s^2.
SignalNoise<Tensor> transition(const NoiseSchedule& schedule, const Tensor& t, const Tensor& s);

/// Numbers per sample, [n] or 0-d, in the dtype of x [n, ...] and shaped to multiply it. Throws ShapeError.
Tensor per_sample(const Tensor& numbers, const Tensor& x);

}  // namespace retort
