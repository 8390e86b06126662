// distill/diffusion/weights.h -- how much a loss or direction counts at each time (table `weight`).
#pragma once
#include <functional>

#include "distill/diffusion/prediction.h"

namespace retort {

/// Where a weight is asked for: times [n]; `s`, the earlier one, is undefined when there is none.
struct WeightQuery {
  Tensor t, s;
  const NoiseSchedule& schedule;
};
/// Weights [n], f64.
using TimeWeight = std::function<Tensor(const WeightQuery&)>;

/// SNR is alpha^2 / sigma^2. Entries, as functions of t unless said:
///   one; power(p q), alpha^p sigma^q; sigma2, alpha_sigma, sigma_alpha (sigma / alpha); snr(p), SNR^p (p 1 by default)
///   snr_plus_one; truncated_snr, max(SNR, 1) (Salimans and Ho 2022)
///   min_snr(gamma space), min(SNR, gamma) on x0, over SNR on eps, over SNR + 1 on v (Hang et al. 2023; gamma 5)
///   edm(sigma_data), (s^2 + sd^2) / (s sd)^2 at s = sigma / alpha (Karras et al. 2022)
///   inv_var(cap), min(1 / sigma^2, cap), of the noise between s and t when s is given (cap none)
///   exp(tau), e^(t / tau); box(from to), 1 for from <= t < to (to none), else 0
///   inv_dt, 1 / (t - s); tan_gap(c), tan((1 - (t - s)) pi / c) + 1 (TwinFlow, c 2.5); tan, 1 / (sigma_data tan t) on
///   trig, alpha / sigma on any schedule
/// A weight on directions in one space becomes that on another by the size of conversion_slope. ConfigError naming the
/// nearest entry.
TimeWeight make_weight(const Call& call);

}  // namespace retort
