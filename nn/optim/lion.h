// nn/optim/lion.h -- Lion: the sign of an interpolated momentum.
#pragma once
#include "nn/optim/optimizer.h"

namespace retort {

struct LionOptions {
  double beta1 = 0.9;   ///< share of the momentum in the direction
  double beta2 = 0.99;  ///< share of the old momentum in the new one
  double weight_decay = 0;
};

/// p -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay p);  m = beta2 m + (1 - beta2) g (Chen et al. 2023, "Symbolic
/// discovery of optimization algorithms"). Every element moves by lr, so lr is 3 to 10 times smaller than AdamW's.
/// State: slot "momentum".
class Lion final : public Optimizer {
 public:
  /// Throws ValueError unless betas lie in [0, 1) and weight_decay >= 0.
  explicit Lion(const LionOptions& options);

 private:
  std::vector<std::string> slots() const override { return {"momentum"}; }
  void update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) override;
  LionOptions options_;
};

}  // namespace retort
