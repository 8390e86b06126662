// tensor/cpu/fft.cpp -- CPU kernels of the Fourier transforms: rows in parallel, each through planes of its real and
// imaginary parts.
#include <algorithm>

#include "tensor/attrs.h"
#include "tensor/cpu/fft_plan.h"
#include "tensor/cpu/rows.h"
#include "tensor/primitive.h"

namespace retort {

using cpu::Planes;

namespace {

/// Where rows begin: a layout without its last `axes` axes.
Layout starts_of(Layout layout, int axes) {
  for (; axes > 0; --axes) layout = cpu::row_starts(layout, layout.shape.rank() - 1);
  return layout;
}

/// Calls f(row of in, row of out, planes, planes) for every row, in parallel; both pairs of planes have `room`.
template <class T, class F>
void for_each_transform(const Tensor& in, int in_axes, const Tensor& out, int out_axes, std::int64_t length,
                        std::int64_t room, const F& f) {
  if (out.numel() == 0) return;
  const cpu::RowNest<2> nest({starts_of(out.layout(), out_axes), starts_of(in.layout(), in_axes)});
  const T* from = in.data<T>();
  T* to = out.mutable_data<T>();
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(length), [&](std::int64_t begin, std::int64_t end) {
    // Planes begin on cache lines that do not collide with one another.
    const std::int64_t pitch = (room + 15) / 16 * 16 + 16;
    const cpu::Scratch<T> planes(4 * pitch);
    T* p = planes.data();
    nest.walk(begin, end, [&](const auto& at) {
      f(from + at[1], to + at[0], Planes<T>{p, p + pitch}, Planes<T>{p + 2 * pitch, p + 3 * pitch});
    });
  });
}

/// Rows of (re, im) pairs to planes and back, times a factor.
template <class T>
void split_pairs(const T* x, std::int64_t step, std::int64_t part, std::int64_t n, Planes<T> to) {
  if (step == 2 && part == 1)
    for (std::int64_t k = 0; k < n; ++k) {
      to.re[k] = x[2 * k];
      to.im[k] = x[2 * k + 1];
    }
  else
    for (std::int64_t k = 0; k < n; ++k) {
      to.re[k] = x[k * step];
      to.im[k] = x[k * step + part];
    }
}
template <class T>
void join_pairs(Planes<T> from, T scale, std::int64_t n, T* y) {
  for (std::int64_t k = 0; k < n; ++k) {
    y[2 * k] = from.re[k] * scale;
    y[2 * k + 1] = from.im[k] * scale;
  }
}

/// Bins that stand for themselves and their conjugates count `middle` times.
template <class T>
void weigh_middle(T* spectrum, std::int64_t n, T middle) {
  if (middle == 1) return;
  for (std::int64_t i = 2; i < 2 * ((n + 1) / 2); ++i) spectrum[i] *= middle;
}

/// Spectrum of n = 2m real values from the transform z of their m pairs: X_k = E_k + w^k O_k with the spectra of even
/// and odd values E = (z_k + z*_(m-k)) / 2 and O = (z_k - z*_(m-k)) / 2i.
template <class T>
void untangle(const cpu::RealFftPlan<T>& plan, Planes<T> z, T scale, T* out) {
  const std::int64_t m = plan.length / 2;
  const T half = scale / 2, *c = plan.cosines.data(), *s = plan.sines.data();
  z.re[m] = z.re[0];
  z.im[m] = z.im[0];
  for (std::int64_t k = 0; k <= m; ++k) {
    const T a = z.re[k] + z.re[m - k], b = z.im[k] - z.im[m - k];
    const T d = z.im[k] + z.im[m - k], e = z.re[m - k] - z.re[k];
    out[2 * k] = half * (a + (c[k] * d + s[k] * e));
    out[2 * k + 1] = half * (b + (c[k] * e - s[k] * d));
  }
}

/// The reverse: z with 2m z_k = the pairs' transform from half a spectrum x in planes of m + 1 elements.
template <class T>
void tangle(const cpu::RealFftPlan<T>& plan, Planes<T> x, Planes<T> z) {
  const std::int64_t m = plan.length / 2;
  const T *c = plan.cosines.data(), *s = plan.sines.data();
  for (std::int64_t k = 0; k < m; ++k) {
    const T a = x.re[k] + x.re[m - k], b = x.im[k] - x.im[m - k];
    const T d = x.re[k] - x.re[m - k], e = x.im[k] + x.im[m - k];
    z.re[k] = a - (d * s[k] + e * c[k]);
    z.im[k] = b + (d * c[k] - e * s[k]);
  }
}

template <class T>
void real_forward(const KernelCall& call) {
  const auto& attrs = call.attrs.as<FftAttrs>();
  const Tensor &x = call.in[0], &y = call.out[0];
  const auto plan = cpu::plan_for<cpu::RealFftPlan<T>>(attrs.length);
  const std::int64_t n = attrs.length, step = x.strides().back();
  const T scale = static_cast<T>(attrs.scale);
  const std::int64_t room = std::max(plan->complex.room(), n / 2 + 1);
  for_each_transform<T>(x, 1, y, 2, n, room, [&](const T* in, T* out, Planes<T> a, Planes<T> b) {
    if (n % 2 == 0) {
      split_pairs(in, 2 * step, step, n / 2, a);
      untangle(*plan, plan->complex.run(a, b), scale, out);
    } else {
      for (std::int64_t k = 0; k < n; ++k) a.re[k] = in[k * step];
      std::fill_n(a.im, n, T(0));
      join_pairs(plan->complex.run(a, b), scale, n / 2 + 1, out);
      out[1] = 0;
    }
    weigh_middle(out, n, static_cast<T>(attrs.middle));
  });
}

template <class T>
void real_inverse(const KernelCall& call) {
  const auto& attrs = call.attrs.as<FftAttrs>();
  const Tensor &x = call.in[0], &y = call.out[0];
  const auto plan = cpu::plan_for<cpu::RealFftPlan<T>>(attrs.length);
  const std::int64_t n = attrs.length, bins = n / 2 + 1, r = x.rank();
  const std::int64_t step = x.strides()[static_cast<int>(r) - 2], part = x.strides().back();
  const T scale = static_cast<T>(attrs.scale), middle = static_cast<T>(attrs.scale * attrs.middle / 2);
  const std::int64_t room = std::max(plan->complex.room(), bins);
  for_each_transform<T>(x, 2, y, 1, n, room, [&](const T* in, T* out, Planes<T> a, Planes<T> b) {
    split_pairs(in, step, part, bins, a);
    for (std::int64_t k = 0; k < bins; ++k) {
      a.re[k] *= middle;
      a.im[k] *= middle;
    }
    a.re[0] = in[0] * scale;
    a.im[0] = 0;
    if (n % 2 == 0) {
      a.re[n / 2] = in[n / 2 * step] * scale;
      a.im[n / 2] = 0;
      tangle(*plan, a, b);
      const Planes<T> z = plan->complex.run(b.swapped(), a.swapped()).swapped();
      join_pairs(z, T(1), n / 2, out);
    } else {
      for (std::int64_t k = bins; k < n; ++k) {
        a.re[k] = a.re[n - k];
        a.im[k] = -a.im[n - k];
      }
      const Planes<T> z = plan->complex.run(a.swapped(), b.swapped()).swapped();
      std::copy_n(z.re, n, out);
    }
  });
}

template <class T>
void complex_transform(const KernelCall& call) {
  const auto& attrs = call.attrs.as<FftAttrs>();
  const Tensor &x = call.in[0], &y = call.out[0];
  const auto plan = cpu::plan_for<cpu::FftPlan<T>>(attrs.length);
  const std::int64_t n = attrs.length, step = x.strides()[x.rank() - 2], part = x.strides().back();
  for_each_transform<T>(x, 2, y, 2, n, plan->room(), [&](const T* in, T* out, Planes<T> a, Planes<T> b) {
    split_pairs(in, step, part, n, a);
    const Planes<T> z = attrs.inverse ? plan->run(a.swapped(), b.swapped()).swapped() : plan->run(a, b);
    join_pairs(z, static_cast<T>(attrs.scale), n, out);
  });
}

/// The shape functions let only f32 and f64 pass.
void run_as(const KernelCall& call, void (*in_f64)(const KernelCall&), void (*in_f32)(const KernelCall&)) {
  (call.in[0].dtype() == DType::f64 ? in_f64 : in_f32)(call);
}

}  // namespace

RETORT_CPU_KERNEL(fft) { run_as(call, complex_transform<double>, complex_transform<float>); }
RETORT_CPU_KERNEL(rfft) { run_as(call, real_forward<double>, real_forward<float>); }
RETORT_CPU_KERNEL(rfft_inverse) { run_as(call, real_inverse<double>, real_inverse<float>); }

}  // namespace retort
