// distill/train/sampler.h -- how samples are drawn from the networks of a job: stages of steps along grids of times.
#pragma once
#include <optional>

#include "distill/diffusion/guidance.h"
#include "distill/diffusion/step.h"
#include "distill/objectives/net.h"
#include "distill/train/numbers.h"

namespace retort {

/// In the first `steps` steps of a stage the clean sample is (1 - share) x0(t) + share x0_by(renoise(x0(t), s), s), s
/// where the step goes, and the step is made of that (Distillation++, 2412.08871).
struct Correction {
  std::string role;
  double share = 0;
  std::int64_t steps = 0;
  std::optional<Guidance> guide;
};

/// A network that walks down a grid.
struct SamplerStage {
  std::string role;
  std::vector<double> times;      ///< ascending, of the role's schedule; empty: one call makes a sample of unit noise
  std::optional<Step> step;       ///< of a prediction of the clean sample; none: the role's own jumps, told where to go
  std::optional<Step> last;       ///< in place of `step` where the walk ends without noise
  std::optional<Guidance> guide;  ///< of predictions with the label ("cond") and without ("null")
  std::optional<Correction> correct;
};

/// The first stage that takes a step begins at unit noise times sigma, each other one where the one before stopped:
/// there the two schedules have one log-SNR, and from there it goes to those of its own times that are cleaner.
struct Sampler {
  std::vector<SamplerStage> stages;
  std::int64_t classes = 0;  ///< sample i has label i modulo classes; 0: no label
};
using Samplers = std::map<std::string, Sampler, std::less<>>;

/// `{classes: 10, stages: [{role: R, grid: ends(karras(18)), step: heun, guide: 2}, ..]}`. A stage has
///   grid | levels   a table entry (distill/diffusion/grid.h), or descending times, to which the clean end is added;
///                   neither for a role without times, which makes samples of noise in one call
///   step            an entry of distill/diffusion/step.h (ddim), or `jump`, by the role's boundary
///   skip            from the second stage on: how many steps of its grid are left out. The stage before stops at its
///                   time nearest to where this one begins
///   guide, correct  {by: ROLE, share: L, steps: K, guide: ..}
/// Counts, shares and scales may be constant numbers of the method. Throws ConfigError naming the place.
Sampler parse_sampler(Config& node, const NumberMap& numbers, const Roles& roles);
/// A map of them by name.
Samplers parse_samplers(Config& section, const NumberMap& numbers, const Roles& roles);

/// Which samples are drawn, and of which noise.
struct SampleRequest {
  Shape sample;    ///< of one
  Tensor indices;  ///< i64 [n], global indices: they alone tell samples apart
  DType dtype = DType::f32;
  Device device;
  /// By the stream: "sampler/noise" is where a walk begins, "sampler/i" of the step with i steps left after it and
  /// "sampler/i/correct" of its correction.
  std::function<StepNoise(const std::string& stream)> noise;
};
/// Samples [first, first + n) of a seed, whose noise depends on the seed and the index alone.
SampleRequest keyed_samples(const Rng& rng, std::int64_t first, std::int64_t n, const Shape& sample, DType dtype,
                            Device device);

struct DrawnSamples {
  Tensor x;                ///< [n, ...]
  Tensor label;            ///< i64 [n], undefined without classes
  std::int64_t calls = 0;  ///< of networks, for each sample; guidance takes two
};
/// Draws without gradient, as networks answer outside of training. On the meta device shapes alone.
DrawnSamples draw_samples(const Sampler& sampler, const Roles& roles, const SampleRequest& request);

}  // namespace retort
