// tensor/optim_attrs.h -- the numbers of one optimiser step, as the update kernels read them.
#pragma once

namespace retort {

/// v = momentum v + (g + weight_decay p);  p -= lr v, or lr (g + weight_decay p + momentum v) with Nesterov's
/// look-ahead.
struct SgdAttrs {
  double lr = 0, momentum = 0, weight_decay = 0;
  bool nesterov = false;
};

/// m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  p -= lr (m / correction1) / (sqrt(v / correction2) +
/// eps) where correction_i = 1 - beta_i^t. Decay is p -= lr weight_decay p before that (decoupled), else g +=
/// weight_decay p.
struct AdamAttrs {
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0, correction1 = 1, correction2 = 1;
  bool decoupled = true;
};

/// p -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay p);  m = beta2 m + (1 - beta2) g, with sign(0) = 0.
struct LionAttrs {
  double lr = 0, beta1 = 0, beta2 = 0, weight_decay = 0;
};

/// average = decay average + (1 - decay) value.
struct EmaAttrs {
  double decay = 0;
};

}  // namespace retort
