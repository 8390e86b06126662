// nn/ema.h -- exponential moving averages of a module's weights.
#pragma once
#include "nn/module.h"

namespace retort {

/// How much of the old average one update keeps.
///   constant(decay)        decay, every time
///   half_life(samples)     2^(-n / samples) after n new samples: independent of the batch size (Karras et al. 2024a)
///   power(gamma)           (1 - 1/t)^(gamma + 1) at update t = 1, 2, ...: the average over a fixed fraction of the run
///                          so far (Karras et al. 2024b, EDM2 eq. 126); the first update copies
/// A warm-up keeps the average from dragging the initial weights along: a constant decay is at most (1 + t) / (warmup +
/// t) (TensorFlow's, with warmup 10), a half-life at most `rampup` of the samples seen so far (Karras et al. 2022, with
/// rampup .05). Before update `start` + 1 the average is a copy.
struct EmaDecay {
  enum class Law : std::uint8_t { constant, half_life, power };
  Law law = Law::constant;
  double value = 0.999;
  double warmup = 0, rampup = 0;  ///< 0: none
  std::int64_t start = 0;

  static EmaDecay constant(double decay) { return {.law = Law::constant, .value = decay}; }
  static EmaDecay half_life(double samples) { return {.law = Law::half_life, .value = samples}; }
  static EmaDecay power(double gamma) { return {.law = Law::power, .value = gamma}; }
  /// `update` counts from 1; `samples` were seen since the last one, `seen` in all. Throws ValueError for a constant
  /// outside [0, 1], a half-life that is not positive, or a negative power.
  double at(std::int64_t update, std::int64_t samples, std::int64_t seen = 0) const;
};

/// What becomes of float buffers (running statistics): averaged with the same decay, or copied from the source.
enum class EmaBuffers : std::uint8_t { average, copy };

/// average = decay average + (1 - decay) source: masters (shadows of the average follow) and, unless they are copied,
/// float buffers; integer buffers are always copied. The average is a copy of the source, so of the same structure:
/// ShapeError names what differs.
void ema_update(Module& average, const Module& source, double decay, EmaBuffers buffers = EmaBuffers::average);

}  // namespace retort
