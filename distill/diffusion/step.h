// distill/diffusion/step.h -- from one time to an earlier (or later) one along a teacher's flow, and whole samplers.
#pragma once
#include <functional>
#include <span>

#include "distill/diffusion/prediction.h"
#include "tensor/rng.h"

namespace retort {

/// What a step asks: predictions in `space` at states x [n, ...] and times t [n] (f64).
struct Predictor {
  Space space = Space::x0;
  std::function<Tensor(const Tensor& x, const Tensor& t)> call;
};

/// Standard normal noise like `x`; draws of one step are numbered from 0.
using StepNoise = std::function<Tensor(const Tensor& x, int draw)>;
/// Keyed noise: row i of draw k is a function of (rng, stream, k, step, samples[i]) alone, so splitting a batch changes
/// nothing. samples i64 [n], global sample indices.
StepNoise keyed_noise(const Rng& rng, const std::string& stream, std::uint32_t step, const Tensor& samples);

/// An entry of the table: x at t [n] -> x at s [n]. `run` may be differentiated through.
struct Step {
  int calls = 1;            ///< of the predictor
  bool stochastic = false;  ///< needs noise, else `noise` may be empty
  std::function<Tensor(const Predictor&, const Tensor& x, const Tensor& t, const Tensor& s, const NoiseSchedule&,
                       const StepNoise&)>
      run;
};

/// alpha_s x0 + sigma_s eps: the jump of DDIM.
Tensor jump(const Tensor& x0, const Tensor& eps, const Tensor& s, const NoiseSchedule& schedule);

/// Table `step`:
///   euler          one step of the flow on the line y(tau): (x / alpha, sigma / alpha) of variance-preserving
///                  schedules, (x, t) of the others
///   heun           the trapezoid on that line, 2 calls; order 2. A step to sigma = 0 stays Euler's (Karras et al. 2022)
///   ddim           the jump with (x0, eps) of x; order 1, exact where eps is constant along paths
///   ddim_eta(eta)  alpha_s x0 + sqrt(sigma_s^2 - k^2) eps + k noise, k = eta sigma_s / sigma_t sigma_{t|s} (Song et al.
///                  2021, whose form for sigma^2 = 1 - alpha^2 this is); 1 is ancestral sampling
///   dpm1           (sigma_s / sigma_t) x + (alpha_s - alpha_t sigma_s / sigma_t) x0 (Lu et al. 2022): ddim, from x0
///                  alone
///   renoise        alpha_s x0 + sigma_s noise: how consistency models take several steps
///   n(k step)      k steps of another entry over equal distances in t
/// ConfigError naming the nearest entry.
Step make_step(const Call& call);

/// Walks x from the last time of `grid` (ascending, index 0 the cleanest) to the first. Stochastic steps draw from the
/// stream "sampler/i" for the step to grid[i]. Throws ValueError for a grid that does not ascend.
Tensor sample(const Predictor& net, const Tensor& x, std::span<const double> grid, const Step& step,
              const NoiseSchedule& schedule, const Rng& rng, const Tensor& samples);

}  // namespace retort
