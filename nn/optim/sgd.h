// nn/optim/sgd.h -- stochastic gradient descent with momentum, Nesterov's look-ahead and coupled weight decay.
#pragma once
#include "nn/optim/optimizer.h"

namespace retort {

struct SgdOptions {
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;  ///< added to the gradient as weight_decay * p
};

/// d = g + weight_decay p;  v = momentum v + d;  p -= lr v, or lr (d + momentum v) with Nesterov (Sutskever et al.
/// 2013, in the form in which the velocity carries no learning rate). State: slot "momentum", when there is any.
class Sgd final : public Optimizer {
 public:
  /// Throws ValueError for negative numbers, or Nesterov without momentum.
  explicit Sgd(const SgdOptions& options);

 private:
  std::vector<std::string> slots() const override;
  void update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) override;
  SgdOptions options_;
};

}  // namespace retort
