// tensor/cpu/row_loss.cpp -- CPU kernels of the losses over rows of logits: cross entropies and their gradients. One
// row at a time stays in cache; nothing of the size of the logits is stored but the gradient.
#include "tensor/attrs.h"
#include "tensor/cpu/logit_rows.h"
#include "tensor/divergence_terms.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
constexpr int kLogits = 0, kLabels = 1;

std::int64_t checked_label(const KernelCall& call, std::int64_t offset, std::int64_t classes) {
  const std::int64_t label = call.in[kLabels].data<std::int64_t>()[offset];
  if (label < 0 || label >= classes)
    throw ValueError("cross_entropy: labels lie in [0, {}); got {}; hint: mark entries to skip with ignore_index",
                     classes, label);
  return label;
}

/// -sum_c target_c log p_c with target = (1 - e) onehot + e / K on the K classes whose logit is above -infinity.
template <class C>
void cross_entropy_rows(const KernelCall& call) {
  const auto& attrs = call.attrs.as<CrossEntropyAttrs>();
  const cpu::LogitRows<C> logits(call.in[kLogits]);
  const std::int64_t n = logits.classes();
  const C smoothing = static_cast<C>(attrs.label_smoothing);
  const cpu::RowNest<3> nest({call.out[0].layout(), logits.starts(), call.in[kLabels].layout()});
  C *const loss = call.out[0].mutable_data<C>(), *const tops = call.out[1].mutable_data<C>(),
           *const log_totals = call.out[2].mutable_data<C>();
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(2 * n);
    nest.walk(begin, end, [&](const auto& at) {
      loss[at[0]] = tops[at[0]] = log_totals[at[0]] = 0;
      if (call.in[kLabels].data<std::int64_t>()[at[2]] == attrs.ignore_index) return;
      const std::int64_t label = checked_label(call, at[2], n);
      const C* x = logits.row(at[1], buffer.data());
      C top;
      const C log_total = log_fast(cpu::exp_shifted(x, buffer.data() + n, n, top));
      C value = log_total - (x[label] - top);
      if (smoothing > 0) {
        constexpr C kNone = -std::numeric_limits<C>::infinity();
        const C present = cpu::lane_sum<C>(n, [=](std::int64_t i) { return x[i] > kNone ? C(1) : C(0); });
        const C total = cpu::lane_sum<C>(n, [=](std::int64_t i) { return x[i] > kNone ? x[i] - top : C(0); });
        value = (1 - smoothing) * value + smoothing * (log_total - total / present);
      }
      loss[at[0]] = value;
      tops[at[0]] = top;
      log_totals[at[0]] = log_total;
    });
  });
}

/// cot (p - target).
template <class C>
void cross_entropy_gradients(const KernelCall& call) {
  const auto& attrs = call.attrs.as<CrossEntropyAttrs>();
  const cpu::LogitRows<C> logits(call.in[kLogits]), gradient(call.out[0]);
  const Tensor &tops = call.in[2], &log_totals = call.in[3], &cot = call.in[4];
  const std::int64_t n = logits.classes();
  const C smoothing = static_cast<C>(attrs.label_smoothing);
  const cpu::RowNest<5> nest(
      {gradient.starts(), logits.starts(), call.in[kLabels].layout(), tops.layout(), cot.layout()});
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(2 * n);
    nest.walk(begin, end, [&](const auto& at) {
      C* const out = buffer.data() + n;
      if (call.in[kLabels].data<std::int64_t>()[at[2]] == attrs.ignore_index) {
        std::fill_n(out, n, C(0));
        return gradient.store(out, at[0]);
      }
      const std::int64_t label = checked_label(call, at[2], n);
      const C* x = logits.row(at[1], buffer.data());
      const C top = tops.data<C>()[at[3]], log_total = log_totals.data<C>()[at[3]], c = cot.data<C>()[at[4]];
      for (std::int64_t i = 0; i < n; ++i) out[i] = c * exp_fast((x[i] - top) - log_total);
      if (smoothing > 0) {
        constexpr C kNone = -std::numeric_limits<C>::infinity();
        const C present = cpu::lane_sum<C>(n, [=](std::int64_t i) { return x[i] > kNone ? C(1) : C(0); });
        const C share = c * smoothing / present;
        for (std::int64_t i = 0; i < n; ++i) out[i] -= x[i] > kNone ? share : C(0);
      }
      out[label] -= c * (1 - smoothing);
      gradient.store(out, at[0]);
    });
  });
}

/// -sum_c q_c log p_c.
template <class C>
void soft_cross_entropy_rows(const KernelCall& call) {
  const cpu::LogitRows<C> logits(call.in[0]), targets(call.in[1]);
  const std::int64_t n = logits.classes();
  const cpu::RowNest<3> nest({call.out[0].layout(), logits.starts(), targets.starts()});
  C* const loss = call.out[0].mutable_data<C>();
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(4 * n);
    C *const log_p = buffer.data() + 2 * n, *const p = log_p + n;
    nest.walk(begin, end, [&](const auto& at) {
      cpu::log_probabilities(logits.row(at[1], buffer.data()), C(1), n, log_p, p);
      const C* q = targets.row(at[2], buffer.data() + n);
      loss[at[0]] = -cpu::lane_sum<C>(n, [=](std::int64_t i) { return divergence_terms::times_log(q[i], log_p[i]); });
    });
  });
}

/// cot (p sum q - q), with respect to the logits.
template <class C>
void soft_cross_entropy_gradients(const KernelCall& call) {
  const cpu::LogitRows<C> logits(call.in[0]), targets(call.in[1]), gradient(call.out[0]);
  const Tensor& cot = call.in[2];
  const std::int64_t n = logits.classes();
  const cpu::RowNest<4> nest({gradient.starts(), logits.starts(), targets.starts(), cot.layout()});
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(4 * n);
    C *const log_p = buffer.data() + 2 * n, *const p = log_p + n;
    nest.walk(begin, end, [&](const auto& at) {
      cpu::log_probabilities(logits.row(at[1], buffer.data()), C(1), n, log_p, p);
      const C* q = targets.row(at[2], buffer.data() + n);
      const C c = cot.data<C>()[at[3]];
      const C total = cpu::lane_sum<C>(n, [=](std::int64_t i) { return q[i]; });
      for (std::int64_t i = 0; i < n; ++i) p[i] = c * (p[i] * total - q[i]);
      gradient.store(p, at[0]);
    });
  });
}

}  // namespace

RETORT_CPU_KERNEL(cross_entropy) {
  cpu::visit_compute(call.out[0].dtype(), [&]<class C>(C) { cross_entropy_rows<C>(call); });
}
RETORT_CPU_KERNEL(cross_entropy_backward) {
  cpu::visit_compute(call.in[2].dtype(), [&]<class C>(C) { cross_entropy_gradients<C>(call); });
}
RETORT_CPU_KERNEL(soft_cross_entropy) {
  cpu::visit_compute(call.out[0].dtype(), [&]<class C>(C) { soft_cross_entropy_rows<C>(call); });
}
RETORT_CPU_KERNEL(soft_cross_entropy_backward) {
  cpu::visit_compute(call.in[2].dtype(), [&]<class C>(C) { soft_cross_entropy_gradients<C>(call); });
}

}  // namespace retort
