// tensor/cpu/channel_norm.cpp -- CPU kernels of group_norm and batch_norm, forward and backward. Both are sums per
// channel over pixels followed by a map with coefficients per channel, for x [N, C, *] of any strides; results are
// channels-last.
#include <cmath>
#include <vector>

#include "tensor/attrs.h"
#include "tensor/cpu/rows.h"
#include "tensor/norm_plan.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

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
Layout pixel_starts(const Shape& shape) { return cpu::row_starts(Layout{shape, channels_last_strides(shape), 0}, 1); }

/// The channels of the pixels [begin, end) in K operands, in compute type: f(where the pixel starts in channels-last
/// order, {its channels in each operand}). Pixels of a row-major image are loaded sixteen at a time, as many as share a
/// cache line: one by one, every line would be fetched once per pixel, and often from memory, since strides that are
/// powers of two make the lines of a pixel crowd in a few sets of the cache.
template <std::size_t K, class T, class F>
void for_each_pixel(const cpu::RowNest<K + 1>& nest, std::int64_t begin, std::int64_t end,
                    const std::array<const Tensor*, K>& operands, F&& f) {
  using C = compute_t<T>;
  constexpr std::size_t kBand = 16;
  const std::int64_t channels = operands[0]->shape()[1];
  const cpu::Scratch<C> buffer(static_cast<std::int64_t>(K * kBand) * channels);
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
        rows[k][r] = step == 1 ? cpu::load_row(p + starts[k + 1][r], channels, 1, row) : row;
      }
    }
    std::array<const C*, K> pixel;
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

/// f(segment, first pixel, one past the last pixel, partial sums) for every block, in parallel. Pixels are numbered
/// through all segments.
template <class F>
void for_each_block(const ChannelNormPlan& plan, double* partial, F&& f) {
  cpu::parallel_for(plan.blocks(), 1, [&](std::int64_t b, std::int64_t) {
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
  const cpu::RowNest<2> nest({pixel_starts(x.shape()), cpu::row_starts(x.layout(), 1)});
  for_each_block(plan, work.partial, [&](std::int64_t, std::int64_t begin, std::int64_t end, double* mean) {
    double* const spread = mean + channels;
    std::fill_n(mean, 2 * channels, 0.0);
    const cpu::Scratch<C> buffer(channels);
    C* const origin = buffer.data();
    bool first = true;
    for_each_pixel<1, T>(nest, begin, end, {&x}, [&](std::int64_t, const auto& pixel) {
      const C* row = pixel[0];
      if (first) std::copy_n(row, channels, origin);
      first = false;
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

/// sum dy and sum dy (x - shift) of every (segment, channel), into `first` and `second`.
template <class T>
void channel_gradients(const Tensor& x, const Tensor& dy, const ChannelNormPlan& plan, const Workspace& work) {
  using C = compute_t<T>;
  const std::int64_t channels = plan.channels;
  const cpu::RowNest<3> nest(
      {pixel_starts(x.shape()), cpu::row_starts(x.layout(), 1), cpu::row_starts(dy.layout(), 1)});
  for_each_block(plan, work.partial, [&](std::int64_t segment, std::int64_t begin, std::int64_t end, double* level) {
    double* const along = level + channels;
    std::fill_n(level, 2 * channels, 0.0);
    const double* const shift = work.shift + segment * channels;
    for_each_pixel<2, T>(nest, begin, end, {&x, &dy}, [&](std::int64_t, const auto& pixel) {
      const C *row = pixel[0], *g = pixel[1];
      for (std::int64_t c = 0; c < channels; ++c) {
        level[c] += static_cast<double>(g[c]);
        along[c] += static_cast<double>(g[c]) * (static_cast<double>(row[c]) - shift[c]);
      }
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

/// y = scale (x - shift) + offset, or with dy: y = scale dy + slope (x - shift) + offset, coefficients per (segment,
/// channel).
template <class T, bool kWithGradient>
void map_pixels(const Tensor& x, const Tensor& dy, const Tensor& y, const ChannelNormPlan& plan,
                const Workspace& work) {
  using C = compute_t<T>;
  const std::int64_t n = plan.channels, y_step = y.strides()[1];
  T* py = y.mutable_data<T>();
  constexpr std::size_t kOperands = kWithGradient ? 2 : 1;
  std::array<Layout, kOperands + 1> starts{pixel_starts(x.shape()), cpu::row_starts(x.layout(), 1)};
  std::array<const Tensor*, kOperands> operands{&x};
  if constexpr (kWithGradient) {
    starts[2] = cpu::row_starts(dy.layout(), 1);
    operands[1] = &dy;
  }
  const cpu::RowNest<kOperands + 1> nest(starts);
  for_each_block(plan, work.partial, [&](std::int64_t segment, std::int64_t begin, std::int64_t end, double*) {
    const cpu::Scratch<C> buffer(5 * n);
    C *const scale = buffer.data() + n, *const shift = scale + n, *const slope = shift + n, *const offset = slope + n;
    for (std::int64_t c = 0; c < n; ++c) {
      scale[c] = static_cast<C>(work.scale[segment * n + c]);
      shift[c] = static_cast<C>(work.shift[segment * n + c]);
      slope[c] = static_cast<C>(work.slope[segment * n + c]);
      offset[c] = static_cast<C>(work.offset[segment * n + c]);
    }
    for_each_pixel<kOperands, T>(nest, begin, end, operands, [&](std::int64_t at, const auto& pixel) {
      const C* row = pixel[0];
      // The output is channels-last, so the walk's own offset is its offset.
      C* out = cpu::target_row(py + at, y_step, buffer.data());
      if constexpr (kWithGradient) {
        const C* g = pixel[1];
        for (std::int64_t c = 0; c < n; ++c) out[c] = scale[c] * g[c] + slope[c] * (row[c] - shift[c]) + offset[c];
      } else {
        for (std::int64_t c = 0; c < n; ++c) out[c] = scale[c] * (row[c] - shift[c]) + offset[c];
      }
      cpu::store_row(out, py + at, n, y_step);
    });
  });
}

/// A tensor's elements as f64; `missing` everywhere when it is absent.
std::vector<double> vector_of(const Tensor& t, std::int64_t n, double missing = 0.0) {
  std::vector<double> v(static_cast<std::size_t>(n));
  cpu::load_vector(t, n, missing, v.data());
  return v;
}
std::vector<double> statistics_of(const Tensor& t) {
  return vector_of(t.view({{t.numel()}, {1}, t.layout().offset}), t.numel());
}

/// Moments of every (sample, group) from those of its channels, then the coefficients of the map.
void group_coefficients(const KernelCall& call, const ChannelNormPlan& plan, const Workspace& work) {
  const auto& attrs = call.attrs.as<NormAttrs>();
  const std::int64_t size = plan.channels / attrs.groups, parts = plan.segments * attrs.groups;
  const double pixels = static_cast<double>(std::max<std::int64_t>(plan.pixels, 1));
  const auto weight = vector_of(call.in[1], plan.channels, 1.0), bias = vector_of(call.in[2], plan.channels);
  std::vector<double> means, rstds;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t first = part * size;
    double mean = 0, spread = 0;
    for (std::int64_t i = first; i < first + size; ++i) mean += work.first[i] / static_cast<double>(size);
    for (std::int64_t i = first; i < first + size; ++i)
      spread += work.second[i] + pixels * (work.first[i] - mean) * (work.first[i] - mean);
    const double rstd = 1.0 / std::sqrt(spread / (pixels * static_cast<double>(size)) + attrs.eps);
    means.push_back(mean);
    rstds.push_back(rstd);
    for (std::int64_t i = first; i < first + size; ++i) {
      const auto c = static_cast<std::size_t>(i % plan.channels);
      work.shift[i] = mean;
      work.scale[i] = rstd * weight[c];
      work.slope[i] = 0.0;
      work.offset[i] = bias[c];
    }
  }
  cpu::store_vector(means.data(), parts, call.out[1]);
  cpu::store_vector(rstds.data(), parts, call.out[2]);
}

/// dx = rstd (w dy - mean(w dy) - xhat mean(w dy xhat)), means over the group; dw and db are sums over samples.
void group_gradient_coefficients(const KernelCall& call, const ChannelNormPlan& plan, const Workspace& work) {
  const std::int64_t groups = call.attrs.as<NormAttrs>().groups, size = plan.channels / groups;
  const double count = static_cast<double>(plan.pixels * size);
  const auto weight = vector_of(call.in[1], plan.channels, 1.0), rstds = statistics_of(call.in[4]);
  std::vector<double> dw(weight.size()), db(weight.size());
  for (std::int64_t part = 0; part < plan.segments * groups; ++part) {
    const std::int64_t first = part * size;
    const double rstd = rstds[static_cast<std::size_t>(part)];
    double level = 0, along = 0;
    for (std::int64_t i = first; i < first + size; ++i) {
      const auto c = static_cast<std::size_t>(i % plan.channels);
      level += weight[c] * work.first[i];
      along += weight[c] * work.second[i];
      db[c] += work.first[i];
      dw[c] += work.second[i] * rstd;
    }
    for (std::int64_t i = first; i < first + size; ++i) {
      work.scale[i] = rstd * weight[static_cast<std::size_t>(i % plan.channels)];
      work.slope[i] = -rstd * rstd * rstd * along / count;
      work.offset[i] = -rstd * level / count;
    }
  }
  cpu::store_vector(dw.data(), call.out[1].numel(), call.out[1]);
  cpu::store_vector(db.data(), call.out[2].numel(), call.out[2]);
}

/// Statistics per channel out, coefficients in.
void batch_coefficients(const KernelCall& call, const ChannelNormPlan& plan, const Workspace& work) {
  const double n = static_cast<double>(plan.pixels), eps = call.attrs.as<NormAttrs>().eps;
  const auto weight = vector_of(call.in[1], plan.channels, 1.0), bias = vector_of(call.in[2], plan.channels);
  for (std::int64_t c = 0; c < plan.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    work.second[c] /= n;
    work.shift[c] = work.first[c];
    work.scale[c] = weight[at] / std::sqrt(work.second[c] + eps);
    work.slope[c] = 0.0;
    work.offset[c] = bias[at];
  }
  cpu::store_vector(work.first, plan.channels, call.out[1]);
  cpu::store_vector(work.second, plan.channels, call.out[2]);
}

/// With the cotangents dm and dv of the statistics:
/// dx = w rstd (dy - mean(dy) - xhat mean(dy xhat)) + dm / n + 2 dv (x - mean) / n.
void batch_gradient_coefficients(const KernelCall& call, const ChannelNormPlan& plan, const Workspace& work) {
  const double n = static_cast<double>(plan.pixels), eps = call.attrs.as<NormAttrs>().eps;
  const auto weight = vector_of(call.in[1], plan.channels, 1.0), var = vector_of(call.in[4], plan.channels);
  const auto dm = vector_of(call.in[6], plan.channels), dv = vector_of(call.in[7], plan.channels);
  std::vector<double> dw(weight.size());
  for (std::int64_t c = 0; c < plan.channels; ++c) {
    const auto at = static_cast<std::size_t>(c);
    const double rstd = 1.0 / std::sqrt(var[at] + eps), along = work.second[c] * rstd;
    dw[at] = along;
    work.scale[c] = weight[at] * rstd;
    work.slope[c] = (2.0 * dv[at] - weight[at] * rstd * rstd * along) / n;
    work.offset[c] = (dm[at] - weight[at] * rstd * work.first[c]) / n;
  }
  cpu::store_vector(dw.data(), call.out[1].numel(), call.out[1]);
  cpu::store_vector(work.first, call.out[2].numel(), call.out[2]);
}

}  // namespace

RETORT_CPU_KERNEL(group_norm) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const ChannelNormPlan plan(x.shape(), true);
  const Workspace work(plan, call.scratch);
  visit_float(x.dtype(), [&]<class T>(T) {
    channel_moments<T>(x, plan, work);
    group_coefficients(call, plan, work);
    map_pixels<T, false>(x, x, y, plan, work);
  });
}

RETORT_CPU_KERNEL(group_norm_backward) {
  const Tensor &x = call.in[0], &dy = call.in[5], &dx = call.out[0];
  const ChannelNormPlan plan(x.shape(), true);
  const Workspace work(plan, call.scratch);
  const auto means = statistics_of(call.in[3]);
  const std::int64_t size = plan.channels / call.attrs.as<NormAttrs>().groups;
  for (std::int64_t i = 0; i < plan.segments * plan.channels; ++i)
    work.shift[i] = means[static_cast<std::size_t>(i / size)];
  visit_float(x.dtype(), [&]<class T>(T) {
    channel_gradients<T>(x, dy, plan, work);
    group_gradient_coefficients(call, plan, work);
    map_pixels<T, true>(x, dy, dx, plan, work);
  });
}

RETORT_CPU_KERNEL(batch_norm) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const ChannelNormPlan plan(x.shape(), false);
  const Workspace work(plan, call.scratch);
  visit_float(x.dtype(), [&]<class T>(T) {
    channel_moments<T>(x, plan, work);
    batch_coefficients(call, plan, work);
    map_pixels<T, false>(x, x, y, plan, work);
  });
}

RETORT_CPU_KERNEL(batch_norm_backward) {
  const Tensor &x = call.in[0], &mean = call.in[3], &dy = call.in[5], &dx = call.out[0];
  const ChannelNormPlan plan(x.shape(), false);
  const Workspace work(plan, call.scratch);
  cpu::load_vector(mean, plan.channels, 0.0, work.shift);
  visit_float(x.dtype(), [&]<class T>(T) {
    channel_gradients<T>(x, dy, plan, work);
    batch_gradient_coefficients(call, plan, work);
    map_pixels<T, true>(x, dy, dx, plan, work);
  });
}

}  // namespace retort
