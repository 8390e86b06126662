// tensor/cpu/channel_norm.h -- what group_norm and batch_norm are made of: sums per channel over pixels, and a map with
// coefficients per channel, for x [N, C, *] of any strides; results are channels-last.
#pragma once
#include <vector>

#include "tensor/attrs.h"
#include "tensor/cpu/rows.h"
#include "tensor/norm_plan.h"
#include "tensor/primitive.h"

namespace retort::cpu::channel_norm {

/// Scratch as ChannelNormPlan counts it. Arrays of totals and coefficients are [segments, channels].
struct Workspace {
  double *partial, *first, *second, *scale, *shift, *slope, *offset;
  Workspace(const ChannelNormPlan& plan, std::byte* scratch) : partial(reinterpret_cast<double*>(scratch)) {
    const std::int64_t size = plan.segments * plan.channels;
    first = partial + 2 * plan.blocks() * plan.channels;
    second = first + size;
    scale = second + size;
    shift = scale + size;
    slope = shift + size;
    offset = slope + size;
  }
};

/// Starts of the pixels' channel rows in channels-last order, which keeps the pixels of one sample together.
inline Layout pixel_starts(const Shape& shape) { return row_starts(Layout{shape, channels_last_strides(shape), 0}, 1); }

/// The channels of the pixels [begin, end) in K operands, in compute type: f(where the pixel starts in channels-last
/// order, {its channels in each operand}). Pixels of a row-major image are loaded sixteen at a time, as many as share a
/// cache line: one by one, every line would be fetched once per pixel, and often from memory, since strides that are
/// powers of two make the lines of a pixel crowd in a few sets of the cache.
template <std::size_t K, class T, class F>
void for_each_pixel(const RowNest<K + 1>& nest, std::int64_t begin, std::int64_t end,
                    const std::array<const Tensor*, K>& operands, F&& f) {
  using C = compute_t<T>;
  constexpr std::size_t kBand = 16;
  const std::int64_t channels = operands[0]->shape()[1];
  std::array<const C*, K> pixel;
  if constexpr (std::is_same_v<T, C>) {
    const auto in_order = [](const Tensor* t) { return t->strides() == channels_last_strides(t->shape()); };
    if (std::all_of(operands.begin(), operands.end(), in_order)) {
      for (std::size_t k = 0; k < K; ++k) pixel[k] = operands[k]->template data<T>() + begin * channels;
      for (std::int64_t at = begin * channels; at < end * channels; at += channels) {
        f(at, pixel);
        for (const C*& p : pixel) p += channels;
      }
      return;
    }
  }
  const Scratch<C> buffer(static_cast<std::int64_t>(K * kBand) * channels);
  std::array<std::array<std::int64_t, kBand>, K + 1> starts;
  std::array<std::array<const C*, kBand>, K> rows;
  std::size_t held = 0;
  const auto flush = [&] {
    for (std::size_t k = 0; k < K; ++k) {
      const std::int64_t step = operands[k]->strides()[1];
      const T* const p = operands[k]->template data<T>();
      C* const band = buffer.data() + static_cast<std::int64_t>(k * kBand) * channels;
      if (step != 1)
        for (std::int64_t c = 0; c < channels; ++c)
          for (std::size_t r = 0; r < held; ++r)
            band[static_cast<std::int64_t>(r) * channels + c] = static_cast<C>(p[starts[k + 1][r] + c * step]);
      for (std::size_t r = 0; r < held; ++r) {
        C* const row = band + static_cast<std::int64_t>(r) * channels;
        rows[k][r] = step == 1 ? load_row(p + starts[k + 1][r], channels, 1, row) : row;
      }
    }
    for (std::size_t r = 0; r < held; ++r) {
      for (std::size_t k = 0; k < K; ++k) pixel[k] = rows[k][r];
      f(starts[0][r], pixel);
    }
    held = 0;
  };
  nest.walk(begin, end, [&](const auto& at) {
    for (std::size_t k = 0; k <= K; ++k) starts[k][held] = at[k];
    if (++held == kBand) flush();
  });
  flush();
}

/// Where pixels start in channels-last order and in each operand.
template <std::size_t K>
RowNest<K + 1> pixel_nest(const std::array<const Tensor*, K>& operands) {
  std::array<Layout, K + 1> starts{pixel_starts(operands[0]->shape())};
  for (std::size_t k = 0; k < K; ++k) starts[k + 1] = row_starts(operands[k]->layout(), 1);
  return RowNest<K + 1>(starts);
}

/// f(segment, first pixel, one past the last pixel, partial sums) for every block, in parallel. Pixels are numbered
/// through all segments.
template <class F>
void for_each_block(const ChannelNormPlan& plan, double* partial, F&& f) {
  parallel_for(plan.blocks(), 1, [&](std::int64_t b, std::int64_t) {
    const std::int64_t segment = b / plan.blocks_per_segment, at = b % plan.blocks_per_segment * plan.pixels_per_block;
    const std::int64_t base = segment * plan.pixels;
    f(segment, base + at, base + std::min(plan.pixels, at + plan.pixels_per_block), partial + 2 * b * plan.channels);
  });
}

/// Mean and sum of squared deviations of every (segment, channel), into `first` and `second`. Values are summed
/// relative to the block's first pixel, so that a large mean costs no digits; blocks are merged by the formula of Chan,
/// Golub and LeVeque (1983).
template <class T>
void channel_moments(const Tensor& x, const ChannelNormPlan& plan, const Workspace& work) {
  using C = compute_t<T>;
  const std::int64_t channels = plan.channels;
  const RowNest<2> nest = pixel_nest<1>({&x});
  for_each_block(plan, work.partial, [&](std::int64_t, std::int64_t begin, std::int64_t end, double* mean) {
    double* const spread = mean + channels;
    std::fill_n(mean, 2 * channels, 0.0);
    const Scratch<C> buffer(channels);
    C* const origin = buffer.data();
    bool first = true;
    for_each_pixel<1, T>(nest, begin, end, {&x}, [&](std::int64_t, const auto& pixel) {
      const C* row = pixel[0];
      if (first) std::copy_n(row, channels, origin);
      first = false;
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) {
        const double d = static_cast<double>(row[c] - origin[c]);
        mean[c] += d;
        spread[c] += d * d;
      }
    });
    const double n = static_cast<double>(end - begin);
    for (std::int64_t c = 0; c < channels; ++c) {
      spread[c] -= mean[c] * mean[c] / n;
      mean[c] = static_cast<double>(origin[c]) + mean[c] / n;
    }
  });
  for (std::int64_t s = 0; s < plan.segments; ++s)
    for (std::int64_t c = 0; c < channels; ++c) {
      double count = 0, mean = 0, spread = 0;
      for (std::int64_t b = 0; b < plan.blocks_per_segment; ++b) {
        const double* const block = work.partial + 2 * (s * plan.blocks_per_segment + b) * channels + c;
        const double n = static_cast<double>(std::min(plan.pixels_per_block, plan.pixels - b * plan.pixels_per_block));
        const double delta = block[0] - mean;
        mean += delta * n / (count + n);
        spread += block[channels] + delta * delta * count * n / (count + n);
        count += n;
      }
      work.first[s * channels + c] = mean;
      work.second[s * channels + c] = std::max(spread, 0.0);
    }
}

/// A segment's coefficients per channel, in compute type.
template <class C>
class Coefficients {
 public:
  Coefficients(const Workspace& work, std::int64_t segment, std::int64_t channels) : held_(4 * channels) {
    const double* const from[] = {work.scale, work.shift, work.slope, work.offset};
    for (std::int64_t i = 0; i < 4; ++i)
      for (std::int64_t c = 0; c < channels; ++c)
        held_[i * channels + c] = static_cast<C>(from[i][segment * channels + c]);
    scale_ = held_.data();
    shift_ = scale_ + channels;
    slope_ = shift_ + channels;
    offset_ = slope_ + channels;
  }
  C normalised(C x, std::int64_t c) const { return scale_[c] * (x - shift_[c]) + offset_[c]; }
  C gradient(C dy, C x, std::int64_t c) const { return scale_[c] * dy + slope_[c] * (x - shift_[c]) + offset_[c]; }

 private:
  Scratch<C> held_;
  const C *scale_, *shift_, *slope_, *offset_;
};

/// sum g and sum g (x - shift) of every (segment, channel), into `first` and `second`: g(the pixel's channels in the
/// operands, c) is a gradient, operand 0 is x. Where `kept` is defined, g is written there.
template <class T, std::size_t K, class G>
void channel_gradients(const std::array<const Tensor*, K>& operands, const Tensor& kept, const ChannelNormPlan& plan,
                       const Workspace& work, G&& gradient) {
  using C = compute_t<T>;
  const std::int64_t channels = plan.channels;
  const auto nest = pixel_nest(operands);
  T* const kept_data = kept.defined() ? kept.mutable_data<T>() : nullptr;
  const std::int64_t kept_step = kept.defined() ? kept.strides()[1] : 1;
  for_each_block(plan, work.partial, [&](std::int64_t segment, std::int64_t begin, std::int64_t end, double* level) {
    double* const along = level + channels;
    std::fill_n(level, 2 * channels, 0.0);
    const double* const shift = work.shift + segment * channels;
    const Scratch<C> buffer(channels);
    for_each_pixel<K, T>(nest, begin, end, operands, [&](std::int64_t at, const auto& pixel) {
      const C* const x = pixel[0];
      // It is channels-last, as the walk itself.
      C* const g = kept_data ? target_row(kept_data + at, kept_step, buffer.data()) : buffer.data();
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) g[c] = gradient(pixel, c);
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) {
        level[c] += static_cast<double>(g[c]);
        along[c] += static_cast<double>(g[c]) * (static_cast<double>(x[c]) - shift[c]);
      }
      if (kept_data) store_row(g, kept_data + at, channels, kept_step);
    });
  });
  for (std::int64_t s = 0; s < plan.segments; ++s)
    for (std::int64_t c = 0; c < channels; ++c) {
      double level = 0, along = 0;
      for (std::int64_t b = 0; b < plan.blocks_per_segment; ++b) {
        const double* const block = work.partial + 2 * (s * plan.blocks_per_segment + b) * channels + c;
        level += block[0];
        along += block[channels];
      }
      work.first[s * channels + c] = level;
      work.second[s * channels + c] = along;
    }
}

/// y = f(coefficients, the pixel's channels in the operands, c) for every channel c of every pixel.
template <class T, std::size_t K, class F>
void map_pixels(const std::array<const Tensor*, K>& operands, const Tensor& y, const ChannelNormPlan& plan,
                const Workspace& work, F&& f) {
  using C = compute_t<T>;
  const std::int64_t n = plan.channels, y_step = y.strides()[1];
  T* py = y.mutable_data<T>();
  const auto nest = pixel_nest(operands);
  for_each_block(plan, work.partial, [&](std::int64_t segment, std::int64_t begin, std::int64_t end, double*) {
    const Scratch<C> buffer(n);
    const Coefficients<C> k(work, segment, n);
    for_each_pixel<K, T>(nest, begin, end, operands, [&](std::int64_t at, const auto& pixel) {
      // The output is channels-last, so the walk's own offset is its offset.
      C* out = target_row(py + at, y_step, buffer.data());
#pragma omp simd
      for (std::int64_t c = 0; c < n; ++c) out[c] = f(k, pixel, c);
      store_row(out, py + at, n, y_step);
    });
  });
}

/// What the maps compute per channel; operands are (x), (x, dy), (x, dy, residual).
inline constexpr auto normalised = [](const auto& k, const auto& pixel, std::int64_t c) {
  return k.normalised(pixel[0][c], c);
};
inline constexpr auto given_gradient = [](const auto& pixel, std::int64_t c) { return pixel[1][c]; };
inline constexpr auto norm_gradient = [](const auto& k, const auto& pixel, std::int64_t c) {
  return k.gradient(pixel[1][c], pixel[0][c], c);
};

/// A tensor's elements as f64; `missing` everywhere when it is absent.
inline std::vector<double> vector_of(const Tensor& t, std::int64_t n, double missing = 0.0) {
  std::vector<double> v(static_cast<std::size_t>(n));
  load_vector(t, n, missing, v.data());
  return v;
}
inline std::vector<double> statistics_of(const Tensor& t) {
  return vector_of(t.view({{t.numel()}, {1}, t.layout().offset}), t.numel());
}

}  // namespace retort::cpu::channel_norm
