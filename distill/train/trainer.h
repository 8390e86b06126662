// distill/train/trainer.h -- the step: draws, signals, terms, denominators, gradients, updates.
//
// theta <- Opt(theta, sum_k c_k / N_k * d/dtheta sum_u D_k(u)): the trainer alone knows N_k (units of the whole global
// batch), micro-batches, weights and who moves. `sample` terms are invariant to the split; `batch` terms are gathered
// in a first pass without tape, and their cotangents pulled back in the second.
#pragma once
#include <memory>

#include "distill/train/step_gradient.h"
#include "nn/state_shards.h"

namespace retort {

/// What is done with the tensors of a state: their shapes and dtypes are looked at, their values read, or written.
enum class StateUse { look, save, load };

class StepCapture;

/// run.capture: whether steps on a GPU are captured and replayed. `automatic` captures what repeats and runs the rest
/// as it comes; with `on` a phase that does not repeat is an error.
enum class Capture : std::uint8_t { automatic, on, off };
struct TrainerOptions {
  bool zero = false;  ///< each rank keeps the optimisers' state of its share of the values (nn/state_shards.h)
  Capture capture = Capture::automatic;
};

class Trainer {
 public:
  /// With `ranks` this is one of several, each of which has a trainer of its own and draws its rows of every batch;
  /// gradients, losses and running statistics are those of the global batch, the same bits on all. Throws ConfigError
  /// for what ranks cannot share (distill/train/ranks.h), and for Capture::on without a GPU.
  explicit Trainer(Setup& setup, Communicator* ranks = nullptr, const TrainerOptions& options = {});
  ~Trainer();

  bool finished() const { return phase_ >= setup_.phases.size(); }
  std::int64_t step() const { return global_step_; }  ///< optimiser steps done, all phases
  std::int64_t total_steps() const;
  const PhaseSpec& phase() const { return setup_.phases[phase_]; }
  double epoch() const;  ///< of the running phase's first source

  /// One optimiser step of every update that is due. Throws NumericError naming step, term and data ids when a loss or
  /// a gradient is not finite; parameters are then as before the step. With Capture::on ConfigError, after the step,
  /// when the phase turns out not to repeat.
  Metrics advance();
  /// A line for every phase so far: how much of its steps is replayed, and why the rest is not. None without a GPU.
  std::vector<std::string> captured() const;
  /// Gradients of update `u` of the running phase at the current parameters, by role and parameter name, with batches
  /// cut into `micro_batch` rows (0: as the source says). For tests and diagnosis; changes nothing.
  std::map<std::string, Tensor> gradients(std::size_t u, std::int64_t micro_batch = 0);

  /// Optimiser state of the running phase ("update0/..."), counters of followers ("params/..."), stores ("store/...")
  /// and controllers ("control/..."), for checkpoints. Where ranks share a state, whole tensors are visited as one
  /// process has them: ghosts for `look`; for `save`, which all ranks call, on rank 0 alone.
  void visit_state(StateUse use, const std::function<void(const std::string& name, Tensor& value)>& visit);
  /// Continues at `step` of the whole plan; optimisers of that phase are made anew, to be filled through visit_state.
  void seek(std::int64_t step);

 private:
  struct Update {
    const UpdateSpec* spec;
    std::vector<NamedParameter> parameters;
    std::vector<std::unique_ptr<Optimizer>> optimizers;    ///< by move of the spec
    std::vector<std::size_t> ends;                         ///< where the parameters of each end
    std::vector<std::unique_ptr<GradAccumulator>> groups;  ///< one for each group of terms that is kept apart
    std::unique_ptr<StateShards> shards;                   ///< null: the state is not shared
    /// Of gradients that need not be whole, a rank gets its share.
    GradReducer::Sums sums() const {
      return shards && groups.size() == 1 ? GradReducer::Sums::own : GradReducer::Sums::all;
    }
  };

  void begin_phase();
  Metrics run_step();
  Metrics run_captured_step();
  /// The running phase and which of its updates are due: steps of one name are expected to repeat.
  std::string step_name() const;
  Clock clock() const;
  Outcome differentiate(std::size_t u, std::int64_t micro_batch, Draws& draws, GradReducer::Sums sums);
  /// The norm of the update's gradient, after `aggregate` made one of its groups (in the first accumulator; split
  /// momentum leaves them apart); adds the weights it found to `metrics`.
  double combine(Update& u, Metrics& metrics) const;
  /// The norm of a gradient that ranks share.
  double shared_norm(const Update& u) const;
  void move(Update& u, Metrics& metrics);
  void visit_shared(Update& u, std::size_t optimizer, const std::string& place, StateUse use,
                    const std::function<void(const std::string& name, Tensor& value)>& visit);
  /// Weights that are drawn for this step.
  void draw_params();
  bool is_used(const std::string& role) const;
  /// Notes weights at the begin of a pass, or after a step.
  void record(std::int64_t done);
  void follow();
  /// What a phase does once it has ended.
  void finish_phase();
  [[noreturn]] void report_gradient(const Update& u) const;

  Setup& setup_;
  Communicator* ranks_;  ///< null: alone
  bool zero_;
  std::size_t phase_ = 0;
  std::int64_t phase_step_ = 0, global_step_ = 0;
  std::vector<Update> updates_;
  std::vector<std::pair<std::string, Follower>> followers_;  ///< by the role that follows
  Capture mode_;
  std::unique_ptr<StepCapture> capture_;  ///< null: steps run as they come
};

}  // namespace retort
