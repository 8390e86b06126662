// nn/ema.h -- exponential moving averages of a module's weights.
#pragma once
#include "nn/module.h"

namespace retort {

/// How much of the old average one update keeps.
///   constant(decay)        decay, every time
///   half_life(samples)     2^(-n / samples) after n new samples: independent of the batch size (Karras et al. 2024a)
///   power(gamma)           (1 - 1/t)^(gamma + 1) at update t = 1, 2, ...: the average over a fixed fraction of the run
///                          so far (Karras et al. 2024b, EDM2 eq. 126); the first update copies
struct EmaDecay {
  enum class Law : std::uint8_t { constant, half_life, power };
  Law law = Law::constant;
  double value = 0.999;

  static EmaDecay constant(double decay) { return {Law::constant, decay}; }
  static EmaDecay half_life(double samples) { return {Law::half_life, samples}; }
  static EmaDecay power(double gamma) { return {Law::power, gamma}; }
  /// `update` counts from 1; `samples` were seen since the last one. Throws ValueError for a constant outside [0, 1],
  /// a half-life that is not positive, or a negative power.
  double at(std::int64_t update, std::int64_t samples) const;
};

/// average = decay average + (1 - decay) source: masters (shadows of the average follow) and float buffers; integer
/// buffers are copied. The average is a copy of the source, so of the same structure: ShapeError names what differs.
void ema_update(Module& average, const Module& source, double decay);

}  // namespace retort
