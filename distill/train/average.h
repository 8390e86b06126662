// distill/train/average.h -- `roles.R.ema`: a moving average of a role's weights, kept as a role of its own, "R.ema".
#pragma once
#include "distill/train/config.h"
#include "nn/ema.h"

namespace retort {

/// What a preset says: `ema: {decay: .9999, warmup: 10}`, `{halflife: 500000, rampup: .05}` (samples) or `{power: 7}`;
/// `start: n` copies for n updates, `buffers: average | copy` says what running statistics do.
struct AverageSpec {
  std::string of;  ///< the role that is averaged
  EmaDecay decay;
  EmaBuffers buffers = EmaBuffers::average;
};

/// Throws ConfigError unless exactly one of decay, halflife and power is given, with keys that belong to it.
AverageSpec parse_average(Config& node, const std::string& role);

/// Follows a model once per optimiser step that moved it, from its masters. The two models must outlive it.
class Averager {
 public:
  Averager(const AverageSpec& spec, Module& average, const Module& source);
  const std::string& of() const { return spec_.of; }
  /// One update after a step over `samples` samples.
  void follow(std::int64_t samples);
  /// i64 [2]: updates made, samples seen; part of the state of a run.
  Tensor& counters() { return counters_; }

 private:
  AverageSpec spec_;
  Module& average_;
  const Module& source_;
  Tensor counters_;
};

}  // namespace retort
