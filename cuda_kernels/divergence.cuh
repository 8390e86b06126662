// cuda_kernels/divergence.cuh -- bodies of the divergences: a block per row of logits, which is read again from the
// caches.
#pragma once
#include "cuda_kernels/divergence.h"
#include "cuda_kernels/rows.cuh"
#include "tensor/divergence_terms.h"

namespace retort::kernels::RETORT_BACKEND {

/// log softmax(row / temperature), evaluated where it is wanted.
template <class P>
struct LogProbabilities {
  P row;
  float shift, scale, log_total;
  RETORT_DEVICE LogProbabilities(P from, std::int64_t classes, float temperature, Shared<float> partial)
      : row(from), shift(0), scale(1.0f / temperature), log_total(0) {
    shift = finite_shift(row_max(classes, partial, [&](std::int64_t i) { return at(row, i); }));
    const float total =
        row_sum(classes, partial, [&](std::int64_t i) { return exp_fast((at(row, i) - shift) * scale); });
    log_total = total == 0.0f ? 0.0f : log_fast(total);
  }
  RETORT_DEVICE float operator()(std::int64_t i) const { return (at(row, i) - shift) * scale - log_total; }
};

/// The k-th likeliest outcome of a row: those before it in the order of (probability, index) are kept apart.
struct LastKept {
  float value;
  std::int64_t index;
  RETORT_DEVICE bool before(float v, std::int64_t i) const { return value < v || (value == v && i <= index); }
};

/// Finds it in k rounds, each for the likeliest of what is left.
template <class F>
RETORT_DEVICE LastKept last_kept(std::int64_t classes, std::int64_t k, Shared<float> partial,
                                 Shared<std::int64_t> index_partial, F log_p) {
  LastKept last{__builtin_inff(), -1};
  for (std::int64_t round = 0; round < k; ++round) {
    const float top = row_max(classes, partial,
                              [&](std::int64_t i) { return last.before(log_p(i), i) ? -__builtin_inff() : log_p(i); });
    std::int64_t first = classes;
    for (std::int64_t i = thread_index().x; i < classes && first == classes; i += block_extent().x)
      if (log_p(i) == top && !last.before(top, i)) first = i;
    last = {top, block_reduce(first, MinJoin{}, index_partial)};
  }
  return last;
}

/// All outcomes that are not kept, as one.
struct TailOutcome {
  float s, t, a, b;
};
template <class S, class P, class Q>
RETORT_DEVICE TailOutcome tail_outcome(std::int64_t classes, const LastKept& last, Shared<float> partial,
                                       const S& selector, const P& student, const Q& teacher) {
  const auto mass = [&](const auto& log_p) {
    return row_sum(classes, partial,
                   [&](std::int64_t i) { return last.before(selector(i), i) ? 0.0f : exp_fast(log_p(i)); });
  };
  const float s = mass(student), t = mass(teacher);
  const float none = -__builtin_inff();
  return {s, t, s == 0 ? none : log_fast(s), t == 0 ? none : log_fast(t)};
}

/// What a kernel over rows of two sides is told.
struct DivergenceRow {
  std::int64_t classes;
  float student_temperature, teacher_temperature;
  std::int64_t top_k;
  std::int64_t select_by_student;  ///< 0 or 1: arguments of kernels have no padding
};

template <class T, class Kind>
RETORT_KERNEL void divergence_rows(In<T> student, In<T> teacher, Out<float> loss, Kind kind, DivergenceRow row) {
  RETORT_SHARED(float, partial, kRowWarps);
  RETORT_SHARED(std::int64_t, index_partial, kRowWarps);
  const std::int64_t n = row.classes, start = block_index().x * n;
  const LogProbabilities<In<T>> s(student + start, n, row.student_temperature, partial);
  const LogProbabilities<In<T>> t(teacher + start, n, row.teacher_temperature, partial);
  const auto selector = [&](std::int64_t i) { return row.select_by_student ? s(i) : t(i); };
  const auto term = [&](std::int64_t i) {
    const float a = s(i), b = t(i);
    return kind.term(exp_fast(a), exp_fast(b), a, b);
  };
  float sum = 0;
  if (row.top_k == 0) {
    sum = row_sum(n, partial, term);
  } else {
    const LastKept last = last_kept(n, row.top_k, partial, index_partial, selector);
    const TailOutcome tail = tail_outcome(n, last, partial, selector, s, t);
    sum = row_sum(n, partial, [&](std::int64_t i) { return last.before(selector(i), i) ? term(i) : 0.0f; }) +
          kind.term(tail.s, tail.t, tail.a, tail.b);
  }
  if (thread_index().x == 0) loss[block_index().x] = sum;
}

/// Each thread reads and writes its own columns only: the gradient may take the student's place.
template <class T, class Kind>
RETORT_KERNEL void divergence_backward_rows(In<T> student, In<T> teacher, In<float> cotangent, Out<T> gradient,
                                            Kind kind, DivergenceRow row) {
  RETORT_SHARED(float, partial, kRowWarps);
  RETORT_SHARED(std::int64_t, index_partial, kRowWarps);
  const std::int64_t n = row.classes, start = block_index().x * n;
  const auto out = gradient + start;
  const LogProbabilities<In<T>> s(student + start, n, row.student_temperature, partial);
  const LogProbabilities<In<T>> t(teacher + start, n, row.teacher_temperature, partial);
  const auto selector = [&](std::int64_t i) { return row.select_by_student ? s(i) : t(i); };
  LastKept last{-__builtin_inff(), n};  // all
  float share = 0;
  if (row.top_k > 0) {
    last = last_kept(n, row.top_k, partial, index_partial, selector);
    const TailOutcome tail = tail_outcome(n, last, partial, selector, s, t);
    share = tail.s == 0 ? 0.0f : kind.weight(tail.s, tail.t, tail.a, tail.b) / tail.s;
  }
  const auto weight = [&](std::int64_t i) {
    const float a = s(i), b = t(i), p = exp_fast(a);
    return last.before(selector(i), i) ? kind.weight(p, exp_fast(b), a, b) : p * share;
  };
  const float total = row_sum(n, partial, weight);
  const float factor = cotangent[block_index().x] / row.student_temperature;
  each_column(n, [&](std::int64_t i) { out[i] = narrow<T>(factor * (weight(i) - exp_fast(s(i)) * total)); });
}

}  // namespace retort::kernels::RETORT_BACKEND

namespace retort::kernels {
template <>
inline constexpr bool kBytesTell<RETORT_BACKEND::DivergenceRow> = sizeof(RETORT_BACKEND::DivergenceRow) == 32;
template <class C>
inline constexpr bool kBytesTell<divergence_terms::JensenShannon<C>> = true;
template <class C>
inline constexpr bool kBytesTell<divergence_terms::SkewForward<C>> = true;
template <class C>
inline constexpr bool kBytesTell<divergence_terms::SkewReverse<C>> = true;
}  // namespace retort::kernels
