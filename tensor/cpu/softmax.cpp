// tensor/cpu/softmax.cpp -- CPU kernels of softmax and log_softmax: a row is read once from memory, shifted by its
// maximum, and summed in a fixed order.
#include "tensor/cpu/logit_rows.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

struct SoftmaxRow {
  template <class C>
  static void apply(const C* x, C* y, std::int64_t n) {
    C shift;
    const C total = cpu::exp_shifted(x, y, n, shift);
    const C scale = total == C(0) ? C(0) : C(1) / total;
    for (std::int64_t i = 0; i < n; ++i) y[i] *= scale;
  }
};

struct LogSoftmaxRow {
  template <class C>
  static void apply(const C* x, C* y, std::int64_t n) {
    C shift;
    const C total = cpu::exp_shifted(x, y, n, shift);
    const C log_total = total == C(0) ? C(0) : log_fast(total), s = shift;
    for (std::int64_t i = 0; i < n; ++i) y[i] = (x[i] - s) - log_total;
  }
};

template <class Row>
void map_rows(const KernelCall& call) {
  const Tensor &in = call.in[0], &out = call.out[0];
  const int axis = call.attrs.as<int>();
  const std::int64_t n = in.shape()[axis], in_step = in.strides()[axis], out_step = out.strides()[axis];
  if (out.numel() == 0) return;
  const cpu::RowNest<2> nest({cpu::row_starts(out.layout(), axis), cpu::row_starts(in.layout(), axis)});
  visit_float(in.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const T* px = in.data<T>();
    T* py = out.mutable_data<T>();
    cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
      const cpu::Scratch<C> buffer(2 * n);
      nest.walk(begin, end, [&](const auto& at) {
        const C* x = cpu::load_row(px + at[1], n, in_step, buffer.data());
        C* y = cpu::target_row(py + at[0], out_step, buffer.data() + n);
        Row::apply(x, y, n);
        cpu::store_row(y, py + at[0], n, out_step);
      });
    });
  });
}

struct SoftmaxPull {
  template <class C>
  static void apply(const C* y, const C* v, C* out, std::int64_t n) {
    const C inner = cpu::lane_sum<C>(n, [=](std::int64_t i) { return y[i] * v[i]; });
    for (std::int64_t i = 0; i < n; ++i) out[i] = y[i] * (v[i] - inner);
  }
};

struct LogSoftmaxPull {
  template <class C>
  static void apply(const C* y, const C* v, C* out, std::int64_t n) {
    const C total = cpu::lane_sum<C>(n, [=](std::int64_t i) { return v[i]; });
    for (std::int64_t i = 0; i < n; ++i) out[i] = v[i] - exp_fast(y[i]) * total;
  }
};

/// Rows of the output y and of the cotangent, together.
template <class Row>
void pull_rows(const KernelCall& call) {
  const Tensor &y = call.in[0], &v = call.in[1], &out = call.out[0];
  const int axis = call.attrs.as<int>();
  const std::int64_t n = y.shape()[axis], y_step = y.strides()[axis], v_step = v.strides()[axis],
                     out_step = out.strides()[axis];
  if (out.numel() == 0) return;
  const cpu::RowNest<3> nest(
      {cpu::row_starts(out.layout(), axis), cpu::row_starts(y.layout(), axis), cpu::row_starts(v.layout(), axis)});
  visit_float(y.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const T *py = y.data<T>(), *pv = v.data<T>();
    T* po = out.mutable_data<T>();
    cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
      const cpu::Scratch<C> buffer(3 * n);
      nest.walk(begin, end, [&](const auto& at) {
        const C* a = cpu::load_row(py + at[1], n, y_step, buffer.data());
        const C* b = cpu::load_row(pv + at[2], n, v_step, buffer.data() + n);
        C* o = cpu::target_row(po + at[0], out_step, buffer.data() + 2 * n);
        Row::apply(a, b, o, n);
        cpu::store_row(o, po + at[0], n, out_step);
      });
    });
  });
}

}  // namespace

RETORT_CPU_KERNEL(softmax_backward) { pull_rows<SoftmaxPull>(call); }
RETORT_CPU_KERNEL(log_softmax_backward) { pull_rows<LogSoftmaxPull>(call); }
RETORT_CPU_KERNEL(softmax) { map_rows<SoftmaxRow>(call); }
RETORT_CPU_KERNEL(log_softmax) { map_rows<LogSoftmaxRow>(call); }

}  // namespace retort
