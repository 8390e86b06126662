// nn/optim/adafactor.h -- Adafactor: a second moment of rows and columns instead of one per weight.
#pragma once
#include "nn/optim/optimizer.h"

namespace retort {

struct AdafactorOptions {
  double beta1 = 0;      ///< of a first moment of the updates; 0: none is kept
  double decay = 0.8;    ///< beta2 at update t is 1 - t^-decay
  double eps1 = 1e-30;   ///< added to squared gradients
  double eps2 = 1e-3;    ///< least scale of a parameter, with relative steps
  double threshold = 1;  ///< updates whose root mean square is larger are scaled down to it
  double weight_decay = 0;
  bool relative = true;  ///< steps are max(eps2, RMS(p)) min(lr, 1 / sqrt(t)); else lr
};

/// Shazeer and Stern 2018, algorithms 4 and 5. With G^2 = g^2 + eps1, b = 1 - t^-decay:
///   R = b R + (1 - b) G^2 1,  C = b C + (1 - b) 1^T G^2,  V = R C / sum(R)      (matrices: rows are the first axis)
///   V = b V + (1 - b) G^2                                                       (vectors and scalars)
///   U = g / sqrt(V);  U = U / max(1, RMS(U) / threshold);  M = beta1 M + (1 - beta1) U, used for U when beta1 > 0
///   p -= step (U + weight_decay p)
/// A weight of rank > 2 is a matrix of its first axis by all others. State: "row" and "column", or "v"; "m".
class Adafactor final : public Optimizer {
 public:
  /// Throws ValueError unless 0 <= beta1 < 1, eps1 > 0 and the other numbers are not negative (threshold positive).
  explicit Adafactor(const AdafactorOptions& options);
  bool elementwise() const override { return false; }

 private:
  std::vector<std::string> slots() const override { return {}; }
  std::vector<Slot> initial_state(const Parameter& p) const override;
  void update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) override;
  AdafactorOptions options_;
};

}  // namespace retort
