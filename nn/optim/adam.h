// nn/optim/adam.h -- Adam and AdamW: moments of the gradient, with coupled or decoupled weight decay.
#pragma once
#include "nn/optim/optimizer.h"

namespace retort {

struct AdamOptions {
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;  ///< added to the root of the corrected second moment
  double weight_decay = 0;
};

/// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  p -= lr m' / (sqrt(v') + eps), where m' and v' are
/// divided by 1 - beta^t. Adam (Kingma and Ba 2015) adds weight_decay p to the gradient; AdamW (Loshchilov and Hutter
/// 2019) first does p -= lr weight_decay p. State: slots "m" and "v".
class Adam : public Optimizer {
 public:
  /// Throws ValueError unless betas lie in [0, 1), eps > 0 and weight_decay >= 0.
  explicit Adam(const AdamOptions& options) : Adam(options, false) {}

 protected:
  Adam(const AdamOptions& options, bool decoupled);

 private:
  std::vector<std::string> slots() const override { return {"m", "v"}; }
  void update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) override;
  AdamOptions options_;
  bool decoupled_;
};

class AdamW final : public Adam {
 public:
  explicit AdamW(const AdamOptions& options) : Adam(options, true) {}
};

}  // namespace retort
