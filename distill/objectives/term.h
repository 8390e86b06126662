// distill/objectives/term.h -- a term turns signals into a sum over units; it never knows its weight, its denominator,
// micro-batches, phases, or who is trained.
#pragma once
#include "distill/objectives/net.h"
#include "distill/train/numbers.h"

namespace retort {

/// One micro-batch of a source.
struct Batch {
  Tensor x;              ///< inputs
  Tensor y, y2, lambda;  ///< i64 labels (-1: none), partner labels and share of `y` when mixing
  Tensor index, sample;  ///< i64: data ids, global sample indices
  std::int64_t size() const { return x.shape()[0]; }
};

/// A named state: an input derived from the batch, on which roles may be asked (`points: {turned: rotate(x 1)}`).
struct State {
  std::string name;
  /// Its value from the states before it ("x" is the batch's); random entries draw by (stream, step, batch.sample).
  std::function<Tensor(const TensorMap& states, const Batch& batch, const Pass& pass)> value;
};

/// A signal: a role's output, its taps, a head over its taps, or rows of a store. One tensor, or a list for several
/// taps and for heads with several outputs.
struct Read {
  enum class From { out, taps, head, store };
  From from = From::out;
  std::string role;      ///< or the store's name
  std::string at = "x";  ///< the state the role is asked at
  std::vector<TapId> taps;
  std::string head;
  bool live = false;  ///< the term's gradient flows into it
  bool operator==(const Read&) const = default;
  /// As presets write it in short: ROLE, ROLE.HEAD, ROLE.TAP, with @STATE unless that is x.
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

/// Stateless; made from a preset.
struct Term {
  virtual ~Term() = default;
  virtual Scope scope() const = 0;
  virtual const std::vector<Read>& reads() const = 0;
  virtual const std::vector<State>& states() const = 0;
  virtual bool uses_labels() const = 0;  ///< it is the task, for split momentum
  /// Units in this micro-batch, known from its metadata before any net ran.
  virtual double units(const Batch& batch) const = 0;
  /// `signals` are parallel to reads(); those not live carry no tape.
  virtual Part eval(const Batch& batch, const Signals& signals, const Clock& clock) const = 0;
};

}  // namespace retort
