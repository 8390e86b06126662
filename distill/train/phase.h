// distill/train/phase.h -- the phase plan of a method: who moves, by which terms, in which order.
#pragma once
#include <memory>
#include <optional>
#include <set>

#include "distill/objectives/term.h"
#include "distill/train/numbers.h"
#include "nn/optim/aggregate.h"
#include "nn/optim/optimizer.h"
#include "nn/optim/schedule.h"

namespace retort {

/// An optimiser as a job writes it: {adamw: {lr: .003, wd: .05}, schedule: cosine(warmup=.1)}.
struct OptimSpec {
  std::function<std::unique_ptr<Optimizer>()> make;
  Schedule schedule;                                ///< of the learning rate over the phase
  std::optional<std::pair<double, double>> bounds;  ///< values are put back between them after every step
  bool clip_pixels = false;                         ///< `bounds: pixels`: between black and white, of a synthetic set
};

/// What one optimiser of an update moves: parameters of a role whose names begin with `prefix` (empty: all).
struct MoveSpec {
  struct Group {
    std::string role, prefix;
  };
  std::vector<Group> groups;
  OptimSpec optim;
  std::string str() const;  ///< ROLE or ROLE.PREFIX, joined by "+"
};
/// Parses the map at `node`: sgd, adam, adamw, lion or adafactor. With `delta`, sgd becomes split momentum.
/// `lr` may be a constant one of `numbers`. Throws
/// ConfigError naming the nearest optimiser, schedule or key.
OptimSpec parse_optim(Config& node, std::optional<double> delta = {}, const NumberMap& numbers = {});

/// How the gradients of an update's terms become one: `aggregate: upgrad`, `cagrad(.4)`, `split_momentum(.075)`, ...
struct AggregateSpec {
  /// Weights of the terms' gradients, for rules that keep every term apart; empty for sum and split momentum.
  std::function<LossWeights(const Gram& gram, const RngKey& key)> weights;
  std::optional<double> delta;  ///< of split momentum
};
/// Parses one entry of the table `aggregate` (sum, min_norm, upgrad, dualproj, pcgrad, cagrad(c), nash, aligned, imtl,
/// split_momentum(delta)). Throws ConfigError naming the nearest.
AggregateSpec parse_aggregate(Config& node);

/// `put: {STORE: READ}`: what an update writes to a store at the rows of its source's batch.
struct PutSpec {
  std::string store, source;
  Read read;
};

struct UpdateSpec {
  std::vector<std::string> train;                     ///< roles that move
  std::vector<std::pair<std::string, Weight>> terms;  ///< term name and weight
  std::vector<std::size_t> group;  ///< by term: which gradient it adds to, 0 unless `aggregate` keeps terms apart
  AggregateSpec aggregate;
  std::int64_t every = 1;       ///< runs at steps that are multiples of it
  std::vector<MoveSpec> moves;  ///< one optimiser for all roles, or one for each group of `train: [syn.x, syn.lr]`
  std::vector<PutSpec> puts;
  double clip = 0;  ///< largest gradient norm of the update; 0: none
};

/// `record: {STORE: {role: R, every: 10}}`: the role's weights at the begin of a pass of the phase and after every so
/// many steps (`every: epoch` of its first term's source), one run for each pass.
struct RecordSpec {
  std::string store, role;
  std::int64_t every = 1, run = 0;
};

/// `between: [copy(student teacher), fresh(student)]`: done once when a phase has ended.
struct Between {
  enum class Kind { copy, fresh } kind;
  std::string role;  ///< whose weights change
  std::string from;  ///< of a copy
};

struct PhaseSpec {
  std::string name;
  std::int64_t steps = 0;
  double loop = 0;                  ///< the value of `for` in this pass
  std::vector<UpdateSpec> updates;  ///< in order of execution
  std::vector<Between> between;     ///< in order, after the last step
  std::vector<RecordSpec> records;
};

/// What a phase plan may refer to.
struct PlanContext {
  std::set<std::string> roles, terms;
  std::map<std::string, std::string> store_source;  ///< the source whose ids index a store
  std::set<std::string> label_terms;                ///< those that compare with labels: the task of split momentum
  NumberMap numbers;
  std::map<std::string, std::string> term_source;
  std::function<std::int64_t(const std::string& source)> steps_per_epoch;
  std::set<std::string> trajectories;  ///< stores of weights
  Config* job_optim = nullptr;         ///< `optim` of the job: a map from role to optimiser, for `optim: job`
  Config* job_steps = nullptr;         ///< `run` of the job, for `steps: job`
};

/// Parses `phases`; one with `for: {k: [8, 4, 2]}` or `for: {k: 3}` (1, 2, 3) becomes a phase for each value. `steps`
/// is a count, "N epochs" of the first term's source, or `job`; N and the count of `for` may be constant numbers of
/// the preset. Throws ConfigError.
std::vector<PhaseSpec> parse_phases(Config& phases, PlanContext& context);

}  // namespace retort
