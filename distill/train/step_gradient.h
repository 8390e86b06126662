// distill/train/step_gradient.h -- the gradient of one update at one step: signals, terms, denominators, pull-back.
#pragma once
#include <memory>

#include "distill/train/answers.h"
#include "distill/train/phase.h"
#include "distill/train/setup.h"
#include "nn/grad_accumulator.h"

namespace retort {

/// Rows that an update writes to a store once it is done: no micro-batch sees another's.
struct StorePut {
  std::string store;
  Tensor index, values;
};

/// What the terms of an update came to.
struct Outcome {
  std::map<std::string, double> shown;  ///< by term, per unit
  double total = 0;
  std::vector<StatUpdate> stats;
  std::vector<StorePut> puts;
};

/// The micro-batches of each source at this step.
using Drawn = std::map<std::string, std::vector<Batch>>;

/// c_k / N_k of every term times its sum over units, pulled back into the accumulators. `sample` terms see one
/// micro-batch at a time; `batch` terms over several micro-batches take two passes: signals of all of them without
/// tape, the cotangent on the joined signals, then the pull-back piece by piece.
class StepGradient {
 public:
  /// `where` says at which step of its phase and of the run the update stands.
  struct Where {
    Clock clock;
    std::int64_t step = 0;
  };
  StepGradient(const Setup& setup, const UpdateSpec& update, const Where& where, const Drawn& drawn);

  /// Adds to `groups`, one accumulator for each group of terms (UpdateSpec::group). Throws NumericError naming step,
  /// term and data ids when a term is not finite.
  Outcome run(std::span<const std::unique_ptr<GradAccumulator>> groups);

 private:
  struct Share {
    const Term* term;
    double units, scale;  ///< N_k, c_k / N_k
    std::string name, source;
    std::size_t group;
    std::vector<std::vector<Tensors>> cotangents;  ///< by micro-batch and read, when found in the first pass
  };
  const std::vector<Batch>& batches_of(const Share& s) const { return drawn_.at(s.source); }
  void gather(Share& s);
  void pull(std::size_t micro_batch, std::span<const std::unique_ptr<GradAccumulator>> groups);
  void note(const Share& s, const Part& part, const Batch& batch);
  void collect_puts(const std::string& source, const Batch& batch, Answers& answers);
  Pass pass(Leaves* leaves);

  const Setup& setup_;
  const UpdateSpec& update_;
  const Drawn& drawn_;
  Clock clock_;
  std::int64_t step_;
  std::set<std::string> trained_;
  std::vector<Share> shares_;
  Outcome outcome_;
};

}  // namespace retort
