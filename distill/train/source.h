// distill/train/source.h -- where the states of a step come from: a data set, a closed form, a generator.
#pragma once
#include <memory>
#include <optional>

#include "distill/data/loader.h"
#include "distill/data/token_set.h"
#include "distill/objectives/term.h"

namespace retort {

/// Which rows of which step are drawn, and how.
struct DrawRequest {
  std::int64_t phase_step = 0, step = 0;  ///< of the phase, of the run
  std::int64_t first = 0, rows = 0;
  std::string stream;  ///< names random draws: one for all updates of a step (shared), or each its own (fresh)
  Clock clock = {};    ///< where scheduled numbers of the source are read
};

/// Row r of a step's global batch is a pure function of the request's step and r, and of the weights of the role.
class Source {
 public:
  std::int64_t batch = 0, micro_batch = 0;
  virtual ~Source() = default;
  /// `pass.leaves` set: the role's parameters are tracked, and so is x.
  virtual Batch draw(const DrawRequest& request, const Roles& roles, Pass& pass) const = 0;
  virtual std::int64_t steps_per_epoch() const { return 1; }
  /// The data set behind it, or null.
  virtual std::shared_ptr<const Dataset> set() const { return nullptr; }
  /// The texts behind it, or null.
  virtual std::shared_ptr<const TokenSet> texts() const { return nullptr; }
  /// Rows that belong together and never part: a micro-batch is a multiple of it.
  virtual std::int64_t group() const { return 1; }
  /// What a source with a memory does with a micro-batch that it drew, once the step is done.
  virtual void keep(const DrawRequest&, const Batch&) {}
  /// That memory, for checkpoints.
  virtual void visit_state(const std::function<void(const std::string& name, Tensor& value)>&) {}
  /// The role whose weights x depends on; empty: none.
  virtual const std::string& role() const;
  /// States that its batches bring beside x.
  virtual std::vector<std::string> states() const { return {}; }
  /// Each update draws its own samples (`draw: {S: fresh}`) instead of one draw a step.
  bool fresh = false;
};

std::unique_ptr<Source> data_source(std::shared_ptr<const Dataset> set, std::shared_ptr<Loader> loader, Device device);

/// Samples of a closed form: `sources.NAME: {from: ROLE}` or `{law: gaussian(.7 -.3 std=1.14)}`. Throws ConfigError.
std::unique_ptr<Source> law_source(Config& node, const Roles& roles, DType dtype, Device device);

/// What a generator does: from unit noise (no levels), or by its predictions at descending times with fresh noise
/// between (`between: renoise`) or DDIM (`ode`); the last call is live. The exit level is the last one, or uniform,
/// shared by the step's samples or drawn for each. With `input` it walks from nothing: its one call is asked at a
/// reference sample, with the noise of the exit level where there are levels (teacher forcing).
/// `random` draws the levels of a step: k of 1 .. count, the largest 1 and k - 1 more, as fractions of the schedule's
/// range. `ahead` moves the last call off the walk: from where it stood along the straight line of its own prediction
/// to a level anywhere, a fraction as above (CDM, 2605.06376).
/// Beside x the batch has x_in, and with levels t_in and t_out [n]: where the last call stood, and the level after it
/// (clean after the last).
struct RolloutSpec {
  std::string name, role;
  Shape sample;  ///< of one sample
  std::vector<double> levels;
  struct RandomLevels {
    std::int64_t count = 0;  ///< 0: the levels are those above
    double low = 0, high = 1;
  } random;
  std::optional<std::pair<double, double>> ahead;
  enum class Between { renoise, ode } between = Between::renoise;
  enum class Exit { last, shared, sample } exit = Exit::last;
  std::int64_t classes = 0;                         ///< of conditions drawn uniformly; 0: none
  bool in_turn = false;                             ///< sample i of the run has condition i modulo classes instead
  std::int64_t per_condition = 1;                   ///< samples of one condition that follow each other
  std::map<std::string, std::int64_t> conditions;   ///< fixed ones by name; "given" is the samples' own
  std::map<std::string, std::string> beside;        ///< what other roles make of the same noise: state to role
  std::map<std::string, const Source*> references;  ///< as many samples of other sources: state to source
  std::string cond;                                 ///< the reference whose labels the samples are to have; empty: none
  std::string input;                                ///< the reference that the call is asked at; empty: noise
  std::string gap;      ///< a reference; "gap" [n] is mean |x - reference| of each sample; empty: none
  std::string through;  ///< a role whose fixed weights make x of the noise plus the answer ("shift"); empty: none
  DType dtype = DType::f32;
  Device device;
};
std::unique_ptr<Source> rollout_source(RolloutSpec spec);

}  // namespace retort
