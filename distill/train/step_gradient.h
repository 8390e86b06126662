// distill/train/step_gradient.h -- the gradient of one update at one step: signals, terms, denominators, pull-back.
#pragma once
#include <memory>

#include "distill/train/answers.h"
#include "distill/train/phase.h"
#include "distill/train/setup.h"
#include "nn/grad_reduce.h"

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

/// Samples of the sources at one step, of which a rank draws its own rows. What depends on weights is kept as it was
/// when it was first drawn, so that all updates of a step see one draw, unless a source is `fresh`.
class Draws {
 public:
  Draws(const Setup& setup, const Clock& clock, std::int64_t step, Communicator* ranks)
      : setup_(setup), clock_(clock), step_(step), ranks_(ranks) {}
  /// Null: one process has all rows.
  Communicator* ranks() const { return ranks_; }
  /// Micro-batches of update `update`, without tape; `rows` 0: as the source says.
  const std::vector<Batch>& plain(const std::string& source, std::size_t update, std::int64_t rows);
  /// The same micro-batch drawn again under the tape of `pass`.
  Batch live(const std::string& source, std::size_t update, std::int64_t rows, std::size_t micro_batch, Pass& pass);
  /// Lets sources keep what was drawn for updates at their own micro-batch size: the step is done.
  void keep();

 private:
  std::int64_t size(const Source& source, std::int64_t rows) const;
  DrawRequest request(const std::string& name, std::size_t update, std::int64_t rows, std::size_t micro_batch) const;
  const Setup& setup_;
  Clock clock_;
  std::int64_t step_;
  Communicator* ranks_;
  std::map<std::string, std::vector<Batch>> drawn_;
};

/// c_k / N_k of every term times its sum over units, pulled back into the accumulators. `sample` terms see one
/// micro-batch at a time; `batch` terms over several micro-batches take two passes: signals of all of them without
/// tape, the cotangent on the joined signals, then the pull-back piece by piece. Where all terms of a source have
/// weight 0 for good (a validation loss), roles answer in inference mode, without tape.
/// On several ranks N_k, what is shown and the gradients are those of the global batch. A `batch` term is then always
/// gathered: every rank evaluates it on all signals, and pulls back its own rows.
class StepGradient {
 public:
  /// `where` says at which step of its phase and of the run the update stands.
  struct Where {
    Clock clock;
    std::int64_t step = 0;
    std::size_t update = 0;  ///< its place in the phase
    std::int64_t rows = 0;   ///< of a micro-batch; 0: as the sources say
    GradReducer::Sums sums = GradReducer::Sums::all;
  };
  StepGradient(const Setup& setup, const UpdateSpec& update, const Where& where, Draws& draws);

  /// Adds to `groups`, one accumulator for each group of terms (UpdateSpec::group). Throws NumericError naming step,
  /// term and data ids when a term is not finite.
  Outcome run(std::span<const std::unique_ptr<GradAccumulator>> groups);

 private:
  struct Share {
    const Term* term;
    double units, scale;  ///< N_k, c_k / N_k
    std::string name, source;
    std::size_t group;
    bool watched = false;                          ///< its weight is 0 at every step: nothing is pulled back
    std::vector<std::vector<Tensors>> cotangents;  ///< by micro-batch and read, when found in the first pass
    bool whole() const { return term->scope() == Scope::whole; }
    /// The batch it is evaluated on: a source's micro-batch, or all of them.
    std::string place() const { return whole() ? source + " (whole)" : source; }
  };
  const std::vector<Batch>& batches_of(const std::string& source) const {
    return draws_.plain(source, where_.update, where_.rows);
  }
  /// Its role moves in this update, so its samples carry the tape.
  bool is_live(const std::string& source) const { return trained_.contains(setup_.sources.at(source)->role()); }
  /// It is gathered from micro-batches, or from ranks.
  bool is_cut(const Share& s) const {
    return s.term->scope() == Scope::batch && (draws_.ranks() || batches_of(s.source).size() > 1);
  }
  void scale_shares();
  /// Makes the outcome that of the global batch.
  void share_outcome(Communicator& ranks);
  void gather(Share& s);
  /// Places where a term is pulled back.
  std::set<std::string> live_places() const;
  Batch batch_for(const Share& s, std::size_t micro_batch, Pass* tracked);
  void pull(std::size_t micro_batch, std::span<const std::unique_ptr<GradAccumulator>> groups);
  void note(const Share& s, const Part& part, const Batch& batch);
  void collect_puts(const std::string& source, const Batch& batch, Answers& answers);
  Pass pass(Leaves* leaves);

  const Setup& setup_;
  const UpdateSpec& update_;
  Draws& draws_;
  Where where_;
  std::set<std::string> trained_;
  std::vector<Share> shares_;
  std::size_t rounds_ = 0;                              // of micro-batches
  std::vector<std::unique_ptr<GradReducer>> reducers_;  // by group; none on one process
  Outcome outcome_;
};

}  // namespace retort
