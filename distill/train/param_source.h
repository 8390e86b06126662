// distill/train/param_source.h -- roles whose weights follow another role's: moving averages and copies.
#pragma once
#include "distill/train/call.h"
#include "nn/ema.h"

namespace retort {

/// What a preset says: `ema: {decay: .9999, warmup: 10}`, `{halflife: 500000, rampup: .05}` (samples) or `{power: 7}`,
/// kept as the role "R.ema"; `start: n` copies for n updates, `buffers: average | copy` says what running statistics
/// do. A role of its own says `params: ema(of=R decay=.99)`, `params: copy(of=R every=100)` or `params: fresh(of=R
/// every=1)`: first values drawn again after so many updates of R.
struct FollowSpec {
  std::string of;  ///< the role that is followed
  EmaDecay decay;  ///< of an average
  EmaBuffers buffers = EmaBuffers::average;
  std::int64_t every = 0;  ///< of a copy or of fresh weights: updates between them; 0: an average
  bool fresh = false;
  std::uint64_t seed = 0;  ///< of fresh weights, with the update's number
};

/// Throws ConfigError unless exactly one of decay, halflife and power is given, with keys that belong to it.
FollowSpec parse_average(Config& node, const std::string& role);
/// `ema(of=R decay=d warmup=0 start=0)`, `ema(of=R halflife=h rampup=0)`, `copy(of=R every=n)`, `fresh(of=R every=n)`.
FollowSpec parse_params(const Call& call);

/// Follows a model once per optimiser step that moved it, from its masters. The two models must outlive it.
class Follower {
 public:
  Follower(const FollowSpec& spec, Module& follower, const Module& source);
  const std::string& of() const { return spec_.of; }
  /// One update after a step over `samples` samples.
  void follow(std::int64_t samples);
  /// i64 [2]: updates made, samples seen; part of the state of a run.
  Tensor& counters() { return counters_; }

 private:
  FollowSpec spec_;
  Module& follower_;
  const Module& source_;
  Tensor counters_;
};

}  // namespace retort
