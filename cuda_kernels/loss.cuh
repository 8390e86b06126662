// cuda_kernels/loss.cuh -- bodies of the losses: a block per row; nothing of the logits' size is stored but gradients.
#pragma once
#include "cuda_kernels/loss.h"
#include "cuda_kernels/rows.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// How many classes a row has, and the sum of x - shift over them.
struct Present {
  float count, sum;
};
template <class P>
RETORT_DEVICE Present present_classes(P row, std::int64_t classes, float shift, Shared<float> partial) {
  const float none = -__builtin_inff();
  const float count = row_sum(classes, partial, [&](std::int64_t i) { return at(row, i) > none ? 1.0f : 0.0f; });
  const float sum = row_sum(classes, partial, [&](std::int64_t i) {
    const float v = at(row, i);
    return v > none ? v - shift : 0.0f;
  });
  return {count, sum};
}

template <class T>
RETORT_KERNEL void cross_entropy_rows(In<T> logits, In<std::int64_t> labels, Out<float> loss, Out<float> tops,
                                      Out<float> log_totals, std::int64_t classes, float smoothing,
                                      std::int64_t ignore_index) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t r = block_index().x, label = labels[r];
  const auto row = logits + r * classes;
  float value = 0, top = 0, log_total = 0;
  if (label != ignore_index) {  // the same for the whole block
    top = finite_shift(row_max(classes, partial, [&](std::int64_t i) { return at(row, i); }));
    log_total = log_fast(row_sum(classes, partial, [&](std::int64_t i) { return exp_fast(at(row, i) - top); }));
    value = log_total - (at(row, label) - top);
    if (smoothing > 0) {
      const Present present = present_classes(row, classes, top, partial);
      value = (1.0f - smoothing) * value + smoothing * (log_total - present.sum / present.count);
    }
  }
  if (thread_index().x != 0) return;
  loss[r] = value;
  tops[r] = top;
  log_totals[r] = log_total;
}

template <class T>
RETORT_KERNEL void cross_entropy_backward_rows(In<T> logits, In<std::int64_t> labels, In<float> tops,
                                               In<float> log_totals, In<float> cotangent, Out<T> gradient,
                                               std::int64_t classes, float smoothing, std::int64_t ignore_index) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t r = block_index().x, label = labels[r];
  const auto row = logits + r * classes;
  const auto out = gradient + r * classes;
  if (label == ignore_index) {
    each_column(classes, [&](std::int64_t i) { out[i] = narrow<T>(0.0f); });
    return;
  }
  const float top = tops[r], log_total = log_totals[r], c = cotangent[r];
  const float share = smoothing > 0 ? c * smoothing / present_classes(row, classes, top, partial).count : 0.0f;
  each_column(classes, [&](std::int64_t i) {
    const float v = at(row, i);
    float slope = c * exp_fast((v - top) - log_total);
    if (smoothing > 0 && v > -__builtin_inff()) slope -= share;
    if (i == label) slope -= c * (1.0f - smoothing);
    out[i] = narrow<T>(slope);
  });
}

template <class T>
RETORT_KERNEL void soft_cross_entropy_rows(In<T> logits, In<T> targets, Out<float> loss, std::int64_t classes) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t r = block_index().x;
  const auto row = logits + r * classes, weight = targets + r * classes;
  const float top = finite_shift(row_max(classes, partial, [&](std::int64_t i) { return at(row, i); }));
  const float log_total =
      log_fast(row_sum(classes, partial, [&](std::int64_t i) { return exp_fast(at(row, i) - top); }));
  const float value = row_sum(classes, partial, [&](std::int64_t i) {
    const float q = at(weight, i);
    return q == 0 ? 0.0f : q * ((at(row, i) - top) - log_total);
  });
  if (thread_index().x == 0) loss[r] = -value;
}

template <class T>
RETORT_KERNEL void soft_cross_entropy_backward_rows(In<T> logits, In<T> targets, In<float> cotangent, Out<T> gradient,
                                                    std::int64_t classes) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t r = block_index().x;
  const auto row = logits + r * classes, weight = targets + r * classes;
  const auto out = gradient + r * classes;
  const float top = finite_shift(row_max(classes, partial, [&](std::int64_t i) { return at(row, i); }));
  const float total = row_sum(classes, partial, [&](std::int64_t i) { return exp_fast(at(row, i) - top); });
  const float weights = row_sum(classes, partial, [&](std::int64_t i) { return at(weight, i); });
  const float c = cotangent[r], scale = total == 0 ? 0.0f : weights / total;
  each_column(classes,
              [&](std::int64_t i) { out[i] = narrow<T>(c * (exp_fast(at(row, i) - top) * scale - at(weight, i))); });
}

}  // namespace retort::kernels::RETORT_BACKEND
