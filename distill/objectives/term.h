// distill/objectives/term.h -- a term turns signals into a sum over units; it never knows its weight, its denominator,
// micro-batches, phases, or who is trained.
#pragma once
#include "distill/diffusion/times.h"
#include "distill/objectives/net.h"
#include "distill/train/numbers.h"

namespace retort {

/// One micro-batch of a source.
struct Batch {
  Tensor x;               ///< inputs
  Tensor y, y2, lambda;   ///< i64 labels (-1: none), partner labels and share of `y` when mixing
  Tensor index, sample;   ///< i64: data ids, global sample indices
  TensorMap labels = {};  ///< other conditions by name ("negative"), like y
  TensorMap more = {};    ///< what a source knows beside: states ("x_in" of a rollout's last call, references), and
                          ///< numbers [n] that laws of times may read ("t_in", "t_out")
  std::int64_t size() const { return x.shape()[0]; }
};

struct Read;
/// Asks the role of a read, under its condition and guidance, at a noisy state: its prediction of the clean sample, or
/// with an end time s where it jumps to (unless the read names a space), under the dropout of the trained pass. A
/// constant unless the read is live.
struct AskDenoiser {
  std::function<Tensor(const Read& read, const Tensor& x, const Tensor& t, const Tensor& s)> answer;
  Tensor operator()(const Read& read, const Tensor& x, const Tensor& t, const Tensor& s = {}) const {
    return answer(read, x, t, s);
  }
};

/// What states are made from: the states before ("x" is the batch's, "noise" a unit normal of the term's own) with the
/// times drawn for the term.
struct StateInput {
  const TensorMap& states;
  const Batch& batch;
  const Pass& pass;
  const NoiseSchedule& schedule;  ///< of the roles that are asked at the term's states
  const AskDenoiser& ask;
  Clock clock = {};  ///< where numbers are read
};

/// A named state: an input derived from the batch, on which roles may be asked (`points: {turned: rotate(x 1)}`).
struct State {
  std::string name;
  std::string time = {};  ///< the time it is at, for noisy states
  std::function<Tensor(const StateInput&)> value;
  bool noisy = false;  ///< made from "noise" though the term draws no times
};

/// The states of a term in the order they are made; times first.
struct StatePlan {
  std::vector<NamedLaw> times;
  std::vector<State> states;
  const State* find(const std::string& name) const;
};

/// A signal: a role's output, its taps, a head over its taps, rows of a store, or a state itself. One tensor, or a list
/// for several taps and for heads with several outputs.
struct Read {
  enum class From { out, taps, head, store, state };
  From from = From::out;
  std::string role;      ///< or the store's name
  std::string at = "x";  ///< the state the role is asked at
  std::vector<TapId> taps;
  std::string head;
  std::int64_t negatives = 0;   ///< of a store: rows of samples of other classes, drawn beside the sample's own
  bool live = false;            ///< the term's gradient flows into it
  bool fixed = false;           ///< its role's weights are constants, also in an update that trains them
  bool slope = false;           ///< instead of the answer, the gradient of its sum in the state it is asked at
  std::optional<Space> space;   ///< a denoiser's answer is converted to it; none: the raw answer
  std::string cond = "given";   ///< the condition: given (the batch's y), null, or one of the batch's labels
  std::optional<Weight> guide;  ///< guidance scale between null (0) and condition (1)
  std::string guide_at;         ///< a number drawn among the term's times by which that is multiplied, per sample
  std::string to;               ///< an end time: where the role jumps to from the state (`space`: what it predicts)
  /// The value comes with its derivative, as a list of two: along the path through the state, whose velocity there is
  /// the state `velocity` (both constant for it, no tape), or in the end time (differentiable). With `gap` the first
  /// is a central difference.
  enum class Rate { none, path, end } rate = Rate::none;
  std::string velocity;
  double gap = 0;
  std::string through;  ///< a role that takes a jump on from `to` to the time `finally`, weights constant
  std::string finally;
  /// As presets write it in short: ROLE, ROLE(COND), ROLE.HEAD, ROLE.TAP, ROLE.slope, with @STATE unless that is x;
  /// jumps >TIME.
  std::string str() const;
};
/// Values of a term's reads, in their order.
using Signals = std::vector<Tensors>;

/// How far a term couples samples. `sample` terms are invariant to any split of the batch; `batch` terms see the whole
/// global batch at once (the trainer gathers their signals in a first pass when the batch is split).
enum class Scope : std::uint8_t { sample, batch };

struct Part {
  Tensor total;  ///< sum over units, 0-d, differentiable
  Tensor shown;  ///< the same for logging: KL-type terms are zero at their optimum
};

/// What a term is evaluated on.
struct TermInput {
  const Batch& batch;
  const Signals& signals;  ///< parallel to the term's reads; those that are not live carry no tape
  Clock clock;
  const TensorMap& states;                  ///< the term's states and times
  const NoiseSchedule* schedule = nullptr;  ///< of its noisy states
};

/// Stateless; made from a preset.
struct Term {
  virtual ~Term() = default;
  virtual const std::string& name() const = 0;  ///< of the term in its preset: keys its random draws
  virtual Scope scope() const = 0;
  virtual const std::vector<Read>& reads() const = 0;
  virtual const StatePlan& plan() const = 0;
  virtual bool uses_labels() const = 0;  ///< it is the task, for split momentum
  /// Units in this micro-batch, known from its metadata before any net ran.
  virtual double units(const Batch& batch) const = 0;
  virtual Part eval(const TermInput& in) const = 0;
};

}  // namespace retort
