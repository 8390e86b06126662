// distill/train/source.h -- where the states of a step come from: a data set, a closed form, a generator.
#pragma once
#include <memory>

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
  /// Each update draws its own samples (`draw: {S: fresh}`) instead of one draw a step.
  bool fresh = false;
};

std::unique_ptr<Source> data_source(std::shared_ptr<const Dataset> set, std::shared_ptr<Loader> loader, Device device);

/// Samples of a closed form: `sources.NAME: {from: ROLE}` or `{law: gaussian(.7 -.3 std=1.14)}`. Throws ConfigError.
std::unique_ptr<Source> law_source(Config& node, const Roles& roles, DType dtype, Device device);

/// What a generator does: from unit noise (no levels), or by its predictions at descending times with fresh noise
/// between (`between: renoise`) or DDIM (`ode`); the last call is live. The exit level is the last one, or uniform,
/// shared by the step's samples or drawn for each.
struct RolloutSpec {
  std::string name, role;
  Shape sample;  ///< of one sample
  std::vector<double> levels;
  enum class Between { renoise, ode } between = Between::renoise;
  enum class Exit { last, shared, sample } exit = Exit::last;
  std::int64_t classes = 0;                        ///< of conditions drawn uniformly; 0: none
  std::map<std::string, std::int64_t> conditions;  ///< fixed ones by name; "given" is the samples' own
  std::map<std::string, std::string> beside;       ///< what other roles make of the same noise: state to role
  DType dtype = DType::f32;
  Device device;
};
std::unique_ptr<Source> rollout_source(RolloutSpec spec);

}  // namespace retort
