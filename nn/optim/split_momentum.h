// nn/optim/split_momentum.h -- SGD with a momentum for the task and another for the distillation (DOT).
#pragma once
#include "nn/optim/sgd.h"

namespace retort {

struct SplitMomentumOptions {
  double momentum = 0.9;
  double delta = 0.075;  ///< the distillation's momentum is momentum + delta, the task's momentum - delta
  double weight_decay = 0;
};

/// The distillation-oriented trainer (Zhao et al. 2023, "DOT"), for a task gradient g and a distillation gradient h:
///   v_task = (momentum - delta) v_task + g + weight_decay p;  v_distil = (momentum + delta) v_distil + h
///   p -= lr (v_task + v_distil)
/// A parameter that only one of the two reaches takes part in plain SGD with `momentum`. State: slots "task" and
/// "distil". With delta = 0 it is SGD on the sum.
class SplitMomentum final : public Optimizer {
 public:
  /// Throws ValueError unless 0 <= delta <= momentum, momentum + delta < 1 and weight_decay >= 0.
  explicit SplitMomentum(const SplitMomentumOptions& options);

  using Optimizer::step;
  /// One update; the gradients are parallel to `parameters`, undefined where the loss does not reach one.
  void step(std::span<const NamedParameter> parameters, std::span<const Tensor> task, std::span<const Tensor> distil,
            double lr);

 private:
  std::vector<std::string> slots() const override { return {"task", "distil"}; }
  void update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) override;
  SplitMomentumOptions options_;
};

}  // namespace retort
