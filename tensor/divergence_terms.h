// tensor/divergence_terms.h -- what divergences sum over outcomes, and its slope, shared by host and device.
#pragma once
#include "tensor/math.h"

namespace retort::divergence_terms {

/// p v with 0 times anything = 0; NaN in p stays.
template <class C>
RETORT_HD inline C times_log(C p, C v) {
  return p == C(0) ? C(0) : p * v;
}

// Per entry with student probability s = e^a and teacher probability t = e^b: `term` is what the divergence sums,
// `weight` is s dD/ds up to a multiple of s, which the softmax cancels. That multiple is chosen so that equal
// distributions have weight 0 exactly.

/// log(M / t) and log(M / s) of the mixture M = mix t + (1 - mix) s, without overflow or cancellation near s = t.
template <class C>
struct MixtureLogs {
  C teacher, student;
  RETORT_HD MixtureLogs(C a, C b, C mix) {
    const bool above = b >= a;
    const C d = above ? b - a : a - b;
    const C near = log1p_fast((above ? C(1) - mix : mix) * expm1_fast(-d));
    teacher = near + (above ? C(0) : d);
    student = near + (above ? d : C(0));
  }
};

template <class C>
struct KlForward {
  RETORT_HD C term(C, C t, C a, C b) const { return times_log(t, b - a); }
  RETORT_HD C weight(C s, C t, C, C) const { return s - t; }
};
template <class C>
struct KlReverse {
  RETORT_HD C term(C s, C, C a, C b) const { return times_log(s, a - b); }
  RETORT_HD C weight(C s, C, C a, C b) const { return times_log(s, a - b); }
};
template <class C>
struct Jeffreys {
  RETORT_HD C term(C s, C t, C a, C b) const { return times_log(t, b - a) + times_log(s, a - b); }
  RETORT_HD C weight(C s, C t, C a, C b) const { return (s - t) + times_log(s, a - b); }
};
template <class C>
struct TotalVariation {
  RETORT_HD C term(C s, C t, C, C) const { return C(0.5) * (s > t ? s - t : t - s); }
  RETORT_HD C weight(C s, C t, C, C) const { return C(0.5) * (s > t ? s : s < t ? -s : C(0)); }
};
template <class C>
struct JensenShannon {
  C mix;
  RETORT_HD C term(C s, C t, C a, C b) const {
    const MixtureLogs<C> m(a, b, mix);
    return -mix * times_log(t, m.teacher) - (C(1) - mix) * times_log(s, m.student);
  }
  RETORT_HD C weight(C s, C, C a, C b) const { return -(C(1) - mix) * times_log(s, MixtureLogs<C>(a, b, mix).student); }
};
/// KL(t || M).
template <class C>
struct SkewForward {
  C mix;
  RETORT_HD C term(C, C t, C a, C b) const { return -times_log(t, MixtureLogs<C>(a, b, mix).teacher); }
  RETORT_HD C weight(C s, C t, C, C) const {
    const C rest = C(1) - mix, m = mix * t + rest * s;
    return m == C(0) ? C(0) : rest * rest * s * (s - t) / m;
  }
};
/// KL(s || M).
template <class C>
struct SkewReverse {
  C mix;
  RETORT_HD C term(C s, C, C a, C b) const { return -times_log(s, MixtureLogs<C>(a, b, mix).student); }
  RETORT_HD C weight(C s, C t, C a, C b) const {
    const C rest = C(1) - mix, m = mix * t + rest * s;
    return m == C(0) ? C(0) : mix * rest * s * (t - s) / m + term(s, t, a, b);
  }
};

}  // namespace retort::divergence_terms
