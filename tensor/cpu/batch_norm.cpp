// tensor/cpu/batch_norm.cpp -- CPU kernels of batch_norm and of batch_norm_relu, forward and backward.
#include <cmath>

#include "tensor/cpu/channel_norm.h"

namespace retort {

using namespace cpu::channel_norm;

namespace {
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
/// Input `at_var` is the variance; dm and dv stand two and three places after it.
void batch_gradient_coefficients(const KernelCall& call, std::size_t at_var, const ChannelNormPlan& plan,
                                 const Workspace& work) {
  const double n = static_cast<double>(plan.pixels), eps = call.attrs.as<NormAttrs>().eps;
  const auto weight = vector_of(call.in[1], plan.channels, 1.0), var = vector_of(call.in[at_var], plan.channels);
  const auto dm = vector_of(call.in[at_var + 2], plan.channels), dv = vector_of(call.in[at_var + 3], plan.channels);
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

/// relu's slope at y = scale (x - mean) + bias + residual, worked out again with the forward kernel's arithmetic.
template <class C>
class Rectifier {
 public:
  Rectifier(const KernelCall& call, std::int64_t channels) : scale_(channels), shift_(channels), offset_(channels) {
    const auto weight = vector_of(call.in[1], channels, 1.0), bias = vector_of(call.in[2], channels);
    const auto mean = vector_of(call.in[4], channels), var = vector_of(call.in[5], channels);
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      scale_[c] = static_cast<C>(weight[at] / std::sqrt(var[at] + call.attrs.as<NormAttrs>().eps));
      shift_[c] = static_cast<C>(mean[at]);
      offset_[c] = static_cast<C>(bias[at]);
    }
  }
  C normalised(C x, std::int64_t c) const { return scale_[c] * (x - shift_[c]) + offset_[c]; }

 private:
  cpu::Scratch<C> scale_, shift_, offset_;
};

}  // namespace

RETORT_CPU_KERNEL(batch_norm) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const ChannelNormPlan plan(x.shape(), false);
  const Workspace work(plan, call.scratch);
  visit_float(x.dtype(), [&]<class T>(T) {
    channel_moments<T>(x, plan, work);
    batch_coefficients(call, plan, work);
    map_pixels<T, 1>({&x}, y, plan, work, normalised);
  });
}

RETORT_CPU_KERNEL(batch_norm_backward) {
  const Tensor &x = call.in[0], &mean = call.in[3], &dy = call.in[5], &dx = call.out[0];
  const ChannelNormPlan plan(x.shape(), false);
  const Workspace work(plan, call.scratch);
  cpu::load_vector(mean, plan.channels, 0.0, work.shift);
  visit_float(x.dtype(), [&]<class T>(T) {
    channel_gradients<T, 2>({&x, &dy}, {}, plan, work, given_gradient);
    batch_gradient_coefficients(call, 4, plan, work);
    map_pixels<T, 2>({&x, &dy}, dx, plan, work, norm_gradient);
  });
}

RETORT_CPU_KERNEL(batch_norm_relu) {
  const Tensor &x = call.in[0], &residual = call.in[3], &y = call.out[0];
  const ChannelNormPlan plan(x.shape(), false);
  const Workspace work(plan, call.scratch);
  visit_float(x.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    channel_moments<T>(x, plan, work);
    batch_coefficients(call, plan, work);
    const auto rectified = [](C v) { return v < C(0) ? C(0) : v; };
    if (residual.defined())
      map_pixels<T, 2>({&x, &residual}, y, plan, work, [&](const auto& k, const auto& pixel, std::int64_t c) {
        return rectified(k.normalised(pixel[0][c], c) + pixel[1][c]);
      });
    else
      map_pixels<T, 1>({&x}, y, plan, work, [&](const auto& k, const auto& pixel, std::int64_t c) {
        return rectified(k.normalised(pixel[0][c], c));
      });
  });
}

RETORT_CPU_KERNEL(batch_norm_relu_backward) {
  const Tensor &x = call.in[0], &residual = call.in[3], &mean = call.in[4], &dy = call.in[6];
  const Tensor &dx = call.out[0], &dresidual = call.out[3];
  const ChannelNormPlan plan(x.shape(), false);
  const Workspace work(plan, call.scratch);
  cpu::load_vector(mean, plan.channels, 0.0, work.shift);
  visit_float(x.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const Rectifier<C> relu(call, plan.channels);
    if (residual.defined()) {
      // The residual's gradient is the norm's as well.
      channel_gradients<T, 3>({&x, &dy, &residual}, dresidual, plan, work, [&](const auto& pixel, std::int64_t c) {
        return relu.normalised(pixel[0][c], c) + pixel[2][c] > C(0) ? pixel[1][c] : C(0);
      });
      batch_gradient_coefficients(call, 5, plan, work);
      map_pixels<T, 2>({&x, &dresidual}, dx, plan, work, norm_gradient);
    } else {
      const auto masked = [&](const auto& pixel, std::int64_t c) {
        return relu.normalised(pixel[0][c], c) > C(0) ? pixel[1][c] : C(0);
      };
      channel_gradients<T, 2>({&x, &dy}, {}, plan, work, masked);
      batch_gradient_coefficients(call, 5, plan, work);
      map_pixels<T, 2>({&x, &dy}, dx, plan, work, [&](const auto& k, const auto& pixel, std::int64_t c) {
        return k.gradient(masked(pixel, c), pixel[0][c], c);
      });
    }
  });
}

}  // namespace retort
