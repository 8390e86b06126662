// tensor/cpu/divergence.cpp -- CPU kernels of the divergences between student and teacher logits, one pass over a row.
#include "tensor/attrs.h"
#include "tensor/cpu/logit_rows.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

// Per entry with student probability s = e^a and teacher probability t = e^b: `term` is what the divergence sums,
// `weight` is s dD/ds up to a multiple of s, which the softmax cancels. That multiple is chosen so that equal
// distributions have weight 0 exactly.

/// log(M / t) and log(M / s) of the mixture M = mix t + (1 - mix) s, without overflow or cancellation near s = t.
template <class C>
struct MixtureLogs {
  C teacher, student;
  MixtureLogs(C a, C b, C mix) {
    const bool above = b >= a;
    const C d = above ? b - a : a - b;
    const C near = log1p_fast((above ? C(1) - mix : mix) * expm1_fast(-d));
    teacher = near + (above ? C(0) : d);
    student = near + (above ? d : C(0));
  }
};

template <class C>
struct KlForward {
  C term(C, C t, C a, C b) const { return cpu::times_log(t, b - a); }
  C weight(C s, C t, C, C) const { return s - t; }
};
template <class C>
struct KlReverse {
  C term(C s, C, C a, C b) const { return cpu::times_log(s, a - b); }
  C weight(C s, C, C a, C b) const { return cpu::times_log(s, a - b); }
};
template <class C>
struct Jeffreys {
  C term(C s, C t, C a, C b) const { return cpu::times_log(t, b - a) + cpu::times_log(s, a - b); }
  C weight(C s, C t, C a, C b) const { return (s - t) + cpu::times_log(s, a - b); }
};
template <class C>
struct TotalVariation {
  C term(C s, C t, C, C) const { return C(0.5) * (s > t ? s - t : t - s); }
  C weight(C s, C t, C, C) const { return C(0.5) * (s > t ? s : s < t ? -s : C(0)); }
};
template <class C>
struct JensenShannon {
  C mix;
  C term(C s, C t, C a, C b) const {
    const MixtureLogs<C> m(a, b, mix);
    return -mix * cpu::times_log(t, m.teacher) - (C(1) - mix) * cpu::times_log(s, m.student);
  }
  C weight(C s, C, C a, C b) const { return -(C(1) - mix) * cpu::times_log(s, MixtureLogs<C>(a, b, mix).student); }
};
/// KL(t || M).
template <class C>
struct SkewForward {
  C mix;
  C term(C, C t, C a, C b) const { return -cpu::times_log(t, MixtureLogs<C>(a, b, mix).teacher); }
  C weight(C s, C t, C, C) const {
    const C rest = C(1) - mix, m = mix * t + rest * s;
    return m == C(0) ? C(0) : rest * rest * s * (s - t) / m;
  }
};
/// KL(s || M).
template <class C>
struct SkewReverse {
  C mix;
  C term(C s, C, C a, C b) const { return -cpu::times_log(s, MixtureLogs<C>(a, b, mix).student); }
  C weight(C s, C t, C a, C b) const {
    const C rest = C(1) - mix, m = mix * t + rest * s;
    return m == C(0) ? C(0) : mix * rest * s * (t - s) / m + term(s, t, a, b);
  }
};

/// Calls f with the functor of attrs.kind.
template <class C, class F>
void visit_kind(const DivergenceAttrs& attrs, F&& f) {
  const C mix = static_cast<C>(attrs.mix);
  switch (attrs.kind) {
    case DivergenceKind::kl_forward:
      return f(KlForward<C>{});
    case DivergenceKind::kl_reverse:
      return f(KlReverse<C>{});
    case DivergenceKind::js:
      return f(JensenShannon<C>{mix});
    case DivergenceKind::jeffreys:
      return f(Jeffreys<C>{});
    case DivergenceKind::tv:
      return f(TotalVariation<C>{});
    case DivergenceKind::skew_forward:
      return f(SkewForward<C>{mix});
    case DivergenceKind::skew_reverse:
      return f(SkewReverse<C>{mix});
  }
}

/// Both distributions of a row: log-probabilities and probabilities, in stretches of one buffer of 5 n elements.
template <class C>
struct RowPair {
  C *a, *s, *b, *t, *raw;
  RowPair(C* buffer, std::int64_t n) : a(buffer), s(a + n), b(s + n), t(b + n), raw(t + n) {}
  void load(const cpu::LogitRows<C>& student, const cpu::LogitRows<C>& teacher, std::int64_t at_student,
            std::int64_t at_teacher, const DivergenceAttrs& attrs) const {
    const std::int64_t n = student.classes();
    cpu::log_probabilities(student.row(at_student, raw), static_cast<C>(1 / attrs.student_temperature), n, a, s);
    cpu::log_probabilities(teacher.row(at_teacher, raw), static_cast<C>(1 / attrs.teacher_temperature), n, b, t);
  }
};

template <class C>
void divergence_rows(const KernelCall& call) {
  const auto& attrs = call.attrs.as<DivergenceAttrs>();
  const cpu::LogitRows<C> student(call.in[0]), teacher(call.in[1]);
  const std::int64_t n = student.classes();
  const cpu::RowNest<3> nest({call.out[0].layout(), student.starts(), teacher.starts()});
  C* const value = call.out[0].mutable_data<C>();
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(5 * n);
    const RowPair<C> r(buffer.data(), n);
    nest.walk(begin, end, [&](const auto& at) {
      r.load(student, teacher, at[1], at[2], attrs);
      visit_kind<C>(attrs, [&](auto kind) {
        value[at[0]] = cpu::lane_sum<C>(n, [=](std::int64_t i) { return kind.term(r.s[i], r.t[i], r.a[i], r.b[i]); });
      });
    });
  });
}

/// cot / T_s (w - s sum w) with respect to the student's logits.
template <class C>
void divergence_gradients(const KernelCall& call) {
  const auto& attrs = call.attrs.as<DivergenceAttrs>();
  const cpu::LogitRows<C> student(call.in[0]), teacher(call.in[1]), gradient(call.out[0]);
  const Tensor& cot = call.in[2];
  const std::int64_t n = student.classes();
  const cpu::RowNest<4> nest({gradient.starts(), student.starts(), teacher.starts(), cot.layout()});
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(5 * n);
    const RowPair<C> r(buffer.data(), n);
    nest.walk(begin, end, [&](const auto& at) {
      r.load(student, teacher, at[1], at[2], attrs);
      C* const w = r.a;
      visit_kind<C>(attrs, [&](auto kind) {
        for (std::int64_t i = 0; i < n; ++i) w[i] = kind.weight(r.s[i], r.t[i], r.a[i], r.b[i]);
      });
      const C total = cpu::lane_sum<C>(n, [w](std::int64_t i) { return w[i]; });
      const C scale = cot.data<C>()[at[3]] / static_cast<C>(attrs.student_temperature);
      for (std::int64_t i = 0; i < n; ++i) w[i] = scale * (w[i] - r.s[i] * total);
      gradient.store(w, at[0]);
    });
  });
}

}  // namespace

RETORT_CPU_KERNEL(divergence) {
  cpu::visit_compute(call.out[0].dtype(), [&]<class C>(C) { divergence_rows<C>(call); });
}
RETORT_CPU_KERNEL(divergence_backward) {
  cpu::visit_compute(call.in[2].dtype(), [&]<class C>(C) { divergence_gradients<C>(call); });
}

}  // namespace retort
