// cuda_kernels/resize.cuh -- the body of resampling: a thread per value of the result.
#pragma once
#include "cuda_kernels/resize.h"
#include "cuda_kernels/rows.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// ResampleAxis with the pointers of this backend.
struct AxisTaps {
  std::int64_t outputs, inputs;
  In<std::int64_t> first, count, start;
  In<float> weights;
  template <class Binder>
  void bind(Binder& binder) {
    bind_argument(binder, first);
    bind_argument(binder, count);
    bind_argument(binder, start);
    bind_argument(binder, weights);
  }
};

template <class T>
RETORT_KERNEL void resize_values(In<T> x, Out<T> y, AxisTaps rows, AxisTaps columns, std::int64_t channels,
                                 std::int64_t values) {
  const std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= values) return;
  const std::int64_t channel = e % channels, o = e / channels % columns.outputs,
                     r = e / (channels * columns.outputs) % rows.outputs,
                     image = e / (channels * columns.outputs * rows.outputs);
  const std::int64_t row = rows.first[r], row_taps = rows.count[r], row_start = rows.start[r];
  const std::int64_t column = columns.first[o], column_taps = columns.count[o], column_start = columns.start[o];
  float sum = 0;
  for (std::int64_t j = 0; j < column_taps; ++j) {
    float line = 0;
    for (std::int64_t i = 0; i < row_taps; ++i) {
      const std::int64_t pixel = (image * rows.inputs + row + i) * columns.inputs + column + j;
      line += rows.weights[row_start + i] * at(x, pixel * channels + channel);
    }
    sum += columns.weights[column_start + j] * line;
  }
  y[e] = narrow<T>(sum);
}

}  // namespace retort::kernels::RETORT_BACKEND
