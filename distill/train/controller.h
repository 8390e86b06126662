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
/// off_policy(term=T every=n tolerance=e step=.1 start=0): the share of own responses grows by `step` whenever the mean
/// of T over the last n steps is not below that of the n before, by -e (DistiLLM, Ko et al. 2024).
/// domain_share(domain=i domains=N student=S teacher=T every=n mix=a): r_i, from the cross-entropies that S0 .. and T0
/// .. show of each domain, ratio = e^(S - T): softmax(ratio) after n steps, then every n steps r <- a psi / sum psi +
/// (1 - a) / N, psi = r e^ratio; 1 / N before (DDK, Liu et al. 2024).
/// Arguments may be constant numbers of the preset that stand before. Throws ConfigError naming the nearest entry.
std::shared_ptr<Controller> make_controller(const Call& call);
std::shared_ptr<Controller> make_off_policy(CallArgs& args);
std::shared_ptr<Controller> make_domain_share(CallArgs& args);

}  // namespace retort
