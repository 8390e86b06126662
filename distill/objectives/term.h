// distill/objectives/term.h -- a term turns signals into a sum over units; it never knows its weight, its denominator,
// micro-batches, phases, or who is trained.
#pragma once
#include <set>

#include "distill/objectives/net.h"

namespace retort {

/// One micro-batch of a source.
struct Batch {
  Tensor x;              ///< inputs
  Tensor y, y2, lambda;  ///< i64 labels (-1: none), partner labels and share of `y` when mixing
  Tensor index, sample;  ///< i64: data ids, global sample indices
  std::int64_t size() const { return x.shape()[0]; }
};

/// A signal of a role: its output, a tap, or a head over a tap.
struct Read {
  std::string role;
  enum class From { out, tap, head } from = From::out;
  TapId tap;         ///< for tap and head
  std::string head;  ///< for head
  bool operator==(const Read&) const = default;
};

/// How far a term couples samples. `sample` terms are invariant to any split of the batch; `batch` terms see the whole
/// global batch at once (the trainer gathers their signals in a first pass when the batch is split).
enum class Scope : std::uint8_t { sample, batch };

/// What a term reads, in this order; only `pred` is live, targets are constants.
struct Signals {
  Tensor pred, target;
};
struct Part {
  Tensor total;  ///< sum over units, 0-d, differentiable
  Tensor shown;  ///< the same for logging: KL-type terms are zero at their optimum
};

/// Stateless; made from a preset.
struct Term {
  virtual ~Term() = default;
  virtual Scope scope() const = 0;
  virtual const Read& pred() const = 0;
  virtual const Read* target() const = 0;  ///< null: labels
  /// Units in this micro-batch, known from its metadata before any net ran.
  virtual double units(const Batch& batch) const = 0;
  virtual Part eval(const Batch& batch, const Signals& signals) const = 0;
};

}  // namespace retort
