// cuda_kernels/softmax.cuh -- bodies of softmax: a block per row, which is read again from the caches.
#pragma once
#include "cuda_kernels/rows.cuh"
#include "cuda_kernels/softmax.h"

namespace retort::kernels::RETORT_BACKEND {

template <class T, bool kLog>
RETORT_KERNEL void softmax_rows(In<T> x, Out<T> y, std::int64_t columns) {
  RETORT_SHARED(float, partial, kRowWarps);
  const auto row = x + block_index().x * columns;
  const auto out = y + block_index().x * columns;
  const float shift = finite_shift(row_max(columns, partial, [&](std::int64_t i) { return at(row, i); }));
  const float total = row_sum(columns, partial, [&](std::int64_t i) { return exp_fast(at(row, i) - shift); });
  if (kLog) {
    const float log_total = total == 0 ? 0.0f : log_fast(total);
    each_column(columns, [&](std::int64_t i) { out[i] = narrow<T>(at(row, i) - shift - log_total); });
  } else {
    const float scale = total == 0 ? 0.0f : 1.0f / total;  // a row of -infinity alone
    each_column(columns, [&](std::int64_t i) { out[i] = narrow<T>(exp_fast(at(row, i) - shift) * scale); });
  }
}

template <class T>
RETORT_KERNEL void logsumexp_rows(In<T> x, Out<T> y, std::int64_t columns) {
  RETORT_SHARED(float, partial, kRowWarps);
  const auto row = x + block_index().x * columns;
  const float top = row_max(columns, partial, [&](std::int64_t i) { return at(row, i); });
  const bool finite = top - top == 0;
  const float shift = finite ? top : 0.0f;
  const float total =
      row_sum(columns, partial, [&](std::int64_t i) { return finite ? exp_fast(at(row, i) - shift) : 0.0f; });
  if (thread_index().x == 0) y[block_index().x] = narrow<T>(finite ? top + log_fast(total) : top);
}

template <class T, bool kLog>
RETORT_KERNEL void softmax_backward_rows(In<T> y, In<T> dy, Out<T> dx, std::int64_t columns) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t start = block_index().x * columns;
  const auto row = y + start, slope = dy + start;
  const auto out = dx + start;
  const float total =
      row_sum(columns, partial, [&](std::int64_t i) { return kLog ? at(slope, i) : at(row, i) * at(slope, i); });
  each_column(columns, [&](std::int64_t i) {
    const float v = at(row, i), g = at(slope, i);
    out[i] = narrow<T>(kLog ? g - exp_fast(v) * total : v * (g - total));
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
