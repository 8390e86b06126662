// cuda_kernels/optimizer.h -- one step of an optimiser for many tensors in one launch.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

inline constexpr int kTensorsPerLaunch = 48;

/// The tensors of a launch, each with `size` elements: f32 master, gradient and states, and a bf16 shadow that gets the
/// rounded master. States that the rule does not have, and shadows, may be absent.
struct TensorList {
  int count = 0;
  float* master[kTensorsPerLaunch];
  const float* gradient[kTensorsPerLaunch];
  float *first[kTensorsPerLaunch], *second[kTensorsPerLaunch];
  void* shadow[kTensorsPerLaunch];
  std::int64_t size[kTensorsPerLaunch];
};

/// v = momentum v + d, d = g + weight_decay p; p -= lr v, or lr (d + momentum v) with `nesterov`. Numbers lie in device
/// memory, so that a captured step follows the schedule: {lr, momentum, weight_decay}. Momentum v is `first`.
struct Sgd {
  TensorList tensors;
  const float* numbers;
  bool nesterov;
};
RETORT_LAUNCHER(sgd, Sgd)

/// m = b1 m + c1 d, v = b2 v + c2 d^2, d = g + coupled p; p = keep p - rate m / (sqrt(v) scale + eps). Numbers: {b1,
/// c1, b2, c2, eps, rate, scale, keep, coupled} with c = 1 - b, rate = lr / (1 - b1^t), scale = 1 / sqrt(1 - b2^t), and
/// keep = 1 - lr weight_decay, coupled = 0 for decoupled decay.
struct AdamW {
  TensorList tensors;
  const float* numbers;
};
RETORT_LAUNCHER(adamw, AdamW)

/// d = b1 m + c1 g; m = b2 m + c2 g; p = keep p - lr sign(d), with sign(0) = 0. Numbers: {b1, c1, b2, c2, lr, keep}
/// with c = 1 - b and keep = 1 - lr weight_decay. m is `first`.
struct Lion {
  TensorList tensors;
  const float* numbers;
};
RETORT_LAUNCHER(lion, Lion)

/// average = decay average + (1 - decay) value: the average is `master`, the value `gradient`. Numbers: {decay, 1 -
/// decay}.
struct Ema {
  TensorList tensors;
  const float* numbers;
};
RETORT_LAUNCHER(ema, Ema)

}  // namespace retort::kernels
