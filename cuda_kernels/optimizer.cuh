// cuda_kernels/optimizer.cuh -- bodies of optimiser steps: a row of blocks for every tensor.
#pragma once
#include "cuda_kernels/device.cuh"
#include "cuda_kernels/optimizer.h"

namespace retort::kernels::RETORT_BACKEND {

/// TensorList with the pointers of this backend.
struct TensorTable {
  Out<float> master[kTensorsPerLaunch];
  In<float> gradient[kTensorsPerLaunch];
  Out<float> first[kTensorsPerLaunch], second[kTensorsPerLaunch];
  Out<bf16> shadow[kTensorsPerLaunch];
  std::int64_t size[kTensorsPerLaunch];
  int count, filler;  // arguments of kernels have no padding

  template <class Binder>
  void bind(Binder& binder) {
    for (int i = 0; i < count; ++i) {
      bind_argument(binder, master[i]);
      bind_argument(binder, gradient[i]);
      bind_argument(binder, first[i]);
      bind_argument(binder, second[i]);
      bind_argument(binder, shadow[i]);
    }
  }
};

struct SgdRule {
  static constexpr int kStates = 1;
  float lr, momentum, decay;
  bool nesterov;
  RETORT_DEVICE SgdRule(In<float> n, bool look_ahead) : lr(n[0]), momentum(n[1]), decay(n[2]), nesterov(look_ahead) {}
  RETORT_DEVICE float operator()(float p, float g, float& v, float&) const {
    const float d = g + decay * p;
    v = momentum * v + d;
    return p - lr * (nesterov ? d + momentum * v : v);
  }
};
struct AdamWRule {
  static constexpr int kStates = 2;
  float b1, c1, b2, c2, eps, rate, scale, keep, coupled;
  RETORT_DEVICE AdamWRule(In<float> n, bool)
      : b1(n[0]), c1(n[1]), b2(n[2]), c2(n[3]), eps(n[4]), rate(n[5]), scale(n[6]), keep(n[7]), coupled(n[8]) {}
  RETORT_DEVICE float operator()(float p, float g, float& m, float& v) const {
    const float d = g + coupled * p;
    m = b1 * m + c1 * d;
    v = b2 * v + c2 * d * d;
    return keep * p - rate * m / (sqrtf(v) * scale + eps);
  }
};
struct LionRule {
  static constexpr int kStates = 1;
  float b1, c1, b2, c2, lr, keep;
  RETORT_DEVICE LionRule(In<float> n, bool) : b1(n[0]), c1(n[1]), b2(n[2]), c2(n[3]), lr(n[4]), keep(n[5]) {}
  RETORT_DEVICE float operator()(float p, float g, float& m, float&) const {
    const float direction = b1 * m + c1 * g;
    m = b2 * m + c2 * g;
    return keep * p - lr * static_cast<float>((direction > 0) - (direction < 0));
  }
};
struct EmaRule {
  static constexpr int kStates = 0;
  float keep, take;
  RETORT_DEVICE EmaRule(In<float> n, bool) : keep(n[0]), take(n[1]) {}
  RETORT_DEVICE float operator()(float average, float value, float&, float&) const {
    return keep * average + take * value;
  }
};

/// Block (b, i): tensor i, in strides of the whole row of blocks.
template <class Rule>
RETORT_KERNEL void update_tensors(TensorTable t, In<float> numbers, bool flag) {
  const unsigned i = block_index().y;
  const Rule rule(numbers, flag);
  const auto master = t.master[i], first = t.first[i], second = t.second[i];
  const std::int64_t step = std::int64_t{grid_extent().x} * block_extent().x;
  for (std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x; e < t.size[i]; e += step) {
    float a = Rule::kStates > 0 && first ? static_cast<float>(first[e]) : 0.0f;
    float b = Rule::kStates > 1 ? static_cast<float>(second[e]) : 0.0f;
    const float p = rule(master[e], t.gradient[i][e], a, b);
    master[e] = p;
    if (Rule::kStates > 0 && first) first[e] = a;
    if (Rule::kStates > 1) second[e] = b;
    if (t.shadow[i]) t.shadow[i][e] = narrow<bf16>(p);
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
