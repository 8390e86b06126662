// cuda_kernels/group_norm.cuh -- bodies of group norm: a block per group of a sample, which is read again from the
// caches.
#pragma once
#include "cuda_kernels/group_norm.h"
#include "cuda_kernels/norm.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// The elements of a sample's group, `size` channels of each pixel.
struct GroupPlaces {
  std::int64_t start, channels, size;
  RETORT_DEVICE std::int64_t operator()(std::int64_t i) const { return start + i / size * channels + i % size; }
};
RETORT_DEVICE GroupPlaces group_places(std::int64_t pixels, std::int64_t channels, std::int64_t groups) {
  const std::int64_t size = channels / groups, sample = block_index().x / groups, group = block_index().x % groups;
  return {sample * pixels * channels + group * size, channels, size};
}

/// Block n groups + g.
template <class T>
RETORT_KERNEL void group_norm_groups(In<T> x, In<float> weight, In<float> bias, Out<T> y, Out<float> mean,
                                     Out<float> rstd, std::int64_t pixels, std::int64_t channels, std::int64_t groups,
                                     float eps) {
  RETORT_SHARED(float, partial, kRowWarps);
  const GroupPlaces place = group_places(pixels, channels, groups);
  const std::int64_t count = pixels * place.size, first = block_index().x % groups * place.size;
  const float inverse = 1.0f / static_cast<float>(count);
  const float centre = row_sum(count, partial, [&](std::int64_t i) { return at(x, place(i)); }) * inverse;
  const float square = row_sum(count, partial, [&](std::int64_t i) {
    const float d = at(x, place(i)) - centre;
    return d * d;
  });
  const float scale = 1.0f / sqrtf(square * inverse + eps);
  each_column(count, [&](std::int64_t i) {
    float v = (at(x, place(i)) - centre) * scale;
    if (weight) v = v * weight[first + i % place.size];
    if (bias) v = v + bias[first + i % place.size];
    y[place(i)] = narrow<T>(v);
  });
  if (thread_index().x == 0) {
    mean[block_index().x] = centre;
    rstd[block_index().x] = scale;
  }
}

template <class T>
RETORT_KERNEL void group_norm_backward_groups(In<T> x, In<T> dy, In<float> weight, In<float> mean, In<float> rstd,
                                              Out<T> dx, std::int64_t pixels, std::int64_t channels,
                                              std::int64_t groups) {
  RETORT_SHARED(float, partial, kRowWarps);
  const GroupPlaces place = group_places(pixels, channels, groups);
  const std::int64_t count = pixels * place.size, first = block_index().x % groups * place.size;
  const float inverse = 1.0f / static_cast<float>(count), scale = rstd[block_index().x], centre = mean[block_index().x];
  const auto g = [&](std::int64_t i) {
    const float slope = at(dy, place(i));
    return weight ? slope * weight[first + i % place.size] : slope;
  };
  const auto xhat = [&](std::int64_t i) { return (at(x, place(i)) - centre) * scale; };
  const float along = row_sum(count, partial, [&](std::int64_t i) { return g(i) * xhat(i); }) * inverse;
  const float level = row_sum(count, partial, g) * inverse;
  each_column(count, [&](std::int64_t i) { dx[place(i)] = narrow<T>(scale * (g(i) - level - xhat(i) * along)); });
}

/// Block (c, b): sums over pixels [b n, (b + 1) n) of all samples of dy xhat and dy, for 32 channels.
template <class T>
RETORT_KERNEL void group_norm_backward_channels(In<T> x, In<T> dy, In<float> mean, In<float> rstd, Out<float> weights,
                                                Out<float> biases, std::int64_t rows, std::int64_t pixels,
                                                std::int64_t channels, std::int64_t groups, std::int64_t n) {
  RETORT_SHARED(float, partial_weight, kStrips* kWarpSize);
  RETORT_SHARED(float, partial_bias, kStrips* kWarpSize);
  const unsigned t = thread_index().x, lane = t % kWarpSize, strip = t / kWarpSize;
  const std::int64_t channel = std::int64_t{block_index().x} * kWarpSize + lane;
  const std::int64_t begin = block_index().y * n, end = begin + n < rows ? begin + n : rows;
  float w = 0, b = 0;
  if (channel < channels)
    for (std::int64_t r = begin + strip; r < end; r += kStrips) {
      const float slope = at(dy, r * channels + channel);
      const std::int64_t part = r / pixels * groups + channel / (channels / groups);
      w += slope * ((at(x, r * channels + channel) - mean[part]) * rstd[part]);
      b += slope;
    }
  partial_weight[t] = w;
  partial_bias[t] = b;
  sync_block();
  if (strip != 0 || channel >= channels) return;
  for (unsigned s = 1; s < kStrips; ++s) {
    w += partial_weight[s * kWarpSize + lane];
    b += partial_bias[s * kWarpSize + lane];
  }
  weights[block_index().y * channels + channel] = w;
  biases[block_index().y * channels + channel] = b;
}

}  // namespace retort::kernels::RETORT_BACKEND
