// tensor/cpu/group_norm.cpp -- CPU kernels of group_norm, forward and backward.
#include <cmath>

#include "tensor/cpu/channel_norm.h"

namespace retort {

using namespace cpu::channel_norm;

namespace {
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

}  // namespace

RETORT_CPU_KERNEL(group_norm) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const ChannelNormPlan plan(x.shape(), true);
  const Workspace work(plan, call.scratch);
  visit_float(x.dtype(), [&]<class T>(T) {
    channel_moments<T>(x, plan, work);
    group_coefficients(call, plan, work);
    map_pixels<T, 1>({&x}, y, plan, work, normalised);
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
    channel_gradients<T, 2>({&x, &dy}, {}, plan, work, given_gradient);
    group_gradient_coefficients(call, plan, work);
    map_pixels<T, 2>({&x, &dy}, dx, plan, work, norm_gradient);
  });
}

}  // namespace retort
