// tensor/cpu/row_norm.cpp -- CPU kernels of layer_norm and rms_norm, forward and backward: one read of every row.
#include <cmath>

#include "tensor/attrs.h"
#include "tensor/cpu/rows.h"
#include "tensor/norm_plan.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

template <bool kCentred, class T>
void forward(const KernelCall& call) {
  using C = compute_t<T>;
  const Tensor &x = call.in[0], &y = call.out[0];
  const int axis = x.rank() - 1;
  const std::int64_t n = x.shape()[axis], x_step = x.strides()[axis], y_step = y.strides()[axis];
  const C eps = static_cast<C>(call.attrs.as<NormAttrs>().eps), inv_n = C(1) / static_cast<C>(n);
  const cpu::Scratch<C> parameters(2 * n);
  C *const weight = parameters.data(), *const bias = weight + n;
  cpu::load_vector<C>(call.in[1], n, 1, weight);
  cpu::load_vector<C>(kCentred ? call.in[2] : Tensor(), n, 0, bias);
  const Tensor& rstds = call.out.back();
  const cpu::RowNest<3> nest({cpu::row_starts(y.layout(), axis), cpu::row_starts(x.layout(), axis), rstds.layout()});
  const T* px = x.data<T>();
  T* py = y.mutable_data<T>();
  C *const pm = kCentred ? call.out[1].mutable_data<C>() : nullptr, *const pr = rstds.mutable_data<C>();
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(2 * n);
    nest.walk(begin, end, [&](const auto& at) {
      const C* row = cpu::load_row(px + at[1], n, x_step, buffer.data());
      C* out = cpu::target_row(py + at[0], y_step, buffer.data() + n);
      const C mean = kCentred ? cpu::lane_sum<C>(n, [row](std::int64_t i) { return row[i]; }) * inv_n : C(0);
      const C square = cpu::lane_sum<C>(n, [row, mean](std::int64_t i) { return (row[i] - mean) * (row[i] - mean); });
      const C rstd = C(1) / std::sqrt(square * inv_n + eps);
      for (std::int64_t i = 0; i < n; ++i) out[i] = (row[i] - mean) * rstd * weight[i] + bias[i];
      cpu::store_row(out, py + at[0], n, y_step);
      if constexpr (kCentred) pm[at[2]] = mean;
      pr[at[2]] = rstd;
    });
  });
}

/// One row of dx, added into dw and db; `restrict` because too many pointers keep the last loop from vectorising.
template <bool kCentred, class C>
void backward_row(const C* __restrict x, const C* __restrict g, const C* __restrict w, C mean, C rstd, std::int64_t n,
                  C* __restrict xhat, C* __restrict dx, C* __restrict dw, C* __restrict db) {
  const C inv_n = C(1) / static_cast<C>(n);
  for (std::int64_t i = 0; i < n; ++i) xhat[i] = (x[i] - mean) * rstd;
  const C along = cpu::lane_sum<C>(n, [=](std::int64_t i) { return g[i] * w[i] * xhat[i]; }) * inv_n;
  const C level = kCentred ? cpu::lane_sum<C>(n, [=](std::int64_t i) { return g[i] * w[i]; }) * inv_n : C(0);
  for (std::int64_t i = 0; i < n; ++i) {
    dw[i] += g[i] * xhat[i];
    db[i] += g[i];
    dx[i] = rstd * (g[i] * w[i] - level - xhat[i] * along);
  }
}

/// dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = dy w; dw = sum dy xhat and db = sum dy over the rows. Without
/// centring the term mean(g) is absent.
template <bool kCentred, class T>
void backward(const KernelCall& call) {
  using C = compute_t<T>;
  const Tensor &x = call.in[0], &dy = call.in.back(), &dx = call.out[0];
  const Tensor& rstds = call.in[call.in.size() - 2];
  const int axis = x.rank() - 1;
  const RowNormPlan plan(rstds.numel(), x.shape()[axis]);
  const std::int64_t n = plan.n;
  const cpu::Scratch<C> weight(n);
  cpu::load_vector<C>(call.in[1], n, 1, weight.data());
  C* const partials = reinterpret_cast<C*>(call.scratch);
  const cpu::RowNest<4> nest({cpu::row_starts(dx.layout(), axis), cpu::row_starts(x.layout(), axis),
                              cpu::row_starts(dy.layout(), axis), rstds.layout()});
  const T *px = x.data<T>(), *pdy = dy.data<T>();
  T* pdx = dx.mutable_data<T>();
  const C *const pm = kCentred ? call.in[3].data<C>() : nullptr, *const pr = rstds.data<C>();
  const std::int64_t x_step = x.strides()[axis], dy_step = dy.strides()[axis], dx_step = dx.strides()[axis];
  cpu::parallel_for(plan.rows, plan.rows_per_block, [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(4 * n);
    C *const dw = partials + begin / plan.rows_per_block * 2 * n, *const db = dw + n;
    std::fill_n(dw, 2 * n, C(0));
    C* const xhat = buffer.data();
    const C* const w = weight.data();
    nest.walk(begin, end, [&](const auto& at) {
      const C* row = cpu::load_row(px + at[1], n, x_step, xhat + n);
      const C* g = cpu::load_row(pdy + at[2], n, dy_step, xhat + 2 * n);
      C* out = cpu::target_row(pdx + at[0], dx_step, xhat + 3 * n);
      const C mean = kCentred ? pm[at[3]] : C(0), rstd = pr[at[3]];
      backward_row<kCentred>(row, g, w, mean, rstd, n, xhat, out, dw, db);
      cpu::store_row(out, pdx + at[0], n, dx_step);
    });
  });
  const cpu::Scratch<C> totals(n);
  for (std::size_t k = 1; k < call.out.size(); ++k) {
    std::fill_n(totals.data(), n, C(0));
    for (std::int64_t b = 0; b < plan.blocks; ++b) {
      const C* const partial = partials + (2 * b + static_cast<std::int64_t>(k) - 1) * n;
      for (std::int64_t i = 0; i < n; ++i) totals[i] += partial[i];
    }
    cpu::store_vector(totals.data(), call.out[k].numel(), call.out[k]);
  }
}

}  // namespace

RETORT_CPU_KERNEL(layer_norm) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { forward<true, T>(call); });
}
RETORT_CPU_KERNEL(rms_norm) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { forward<false, T>(call); });
}
RETORT_CPU_KERNEL(layer_norm_backward) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { backward<true, T>(call); });
}
RETORT_CPU_KERNEL(rms_norm_backward) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { backward<false, T>(call); });
}

}  // namespace retort
