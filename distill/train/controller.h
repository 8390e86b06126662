// distill/train/controller.h -- numbers that follow what happened: `numbers.N: {control: dual(...)}`.
#pragma once
#include <memory>

#include "distill/train/numbers.h"
#include "tensor/tensor.h"

namespace retort {

/// Metric names and values of a step, as in the run folder's metrics.jsonl.
using Metrics = std::vector<std::pair<std::string, double>>;

/// Reads what a step reported and writes one number for the steps that follow; its state is part of a run's.
class Controller {
 public:
  virtual ~Controller() = default;
  /// `clock` is that of the step.
  virtual void update(const Metrics& metrics, const Clock& clock) = 0;
  double number() const { return state_.values()[0]; }
  /// f64 [k], the number first: saved and restored with the run.
  Tensor& state() { return state_; }

 protected:
  explicit Controller(std::vector<double> first);
  std::vector<double> values() const { return state_.values(); }
  void set(const std::vector<double>& values);

 private:
  Tensor state_;
};

/// dual(term=T target=c rate=r start=0): lambda <- max(0, lambda + r (shown loss of T - c)), the multiplier of the
/// constraint that T stays below c (gradient ascent on the Lagrangian).
/// climb(term=T layers=n threshold=c patience=e rate=1): the layer 1 .. n that a student imitates. The terms T1 .. Tn
/// show 1 - similarity to each; it starts at the most similar one, and goes on as soon as the running average of the
/// present one's similarity (a new value weighs `rate`) reaches c, or after e epochs (LEAP).
/// Arguments may be constant numbers of the preset that stand before. Throws ConfigError naming the nearest entry.
std::shared_ptr<Controller> make_controller(const Call& call);

}  // namespace retort
