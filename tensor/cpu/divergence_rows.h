// tensor/cpu/divergence_rows.h -- the divergences between two rows of logits: values, and gradients in one of them.
#pragma once
#include <algorithm>
#include <vector>

#include "tensor/attrs.h"
#include "tensor/cpu/logit_rows.h"
#include "tensor/cpu/scratch.h"
#include "tensor/divergence_terms.h"

namespace retort::cpu {

/// Calls f with the functor of attrs.kind.
template <class C, class F>
void visit_kind(const DivergenceAttrs& attrs, F&& f) {
  const C mix = static_cast<C>(attrs.mix);
  switch (attrs.kind) {
    case DivergenceKind::kl_forward:
      return f(divergence_terms::KlForward<C>{});
    case DivergenceKind::kl_reverse:
      return f(divergence_terms::KlReverse<C>{});
    case DivergenceKind::js:
      return f(divergence_terms::JensenShannon<C>{mix});
    case DivergenceKind::jeffreys:
      return f(divergence_terms::Jeffreys<C>{});
    case DivergenceKind::tv:
      return f(divergence_terms::TotalVariation<C>{});
    case DivergenceKind::skew_forward:
      return f(divergence_terms::SkewForward<C>{mix});
    case DivergenceKind::skew_reverse:
      return f(divergence_terms::SkewReverse<C>{mix});
  }
}

/// The outcomes that are kept apart: the `top_k` likeliest ones of the selecting side, and everything else as one.
/// Ties go to the lower index.
class Outcomes {
 public:
  Outcomes(std::int64_t n, std::int64_t k) : order_(static_cast<std::size_t>(n)), k_(k) {}
  template <class C>
  void select(const C* by) {
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::int32_t>(i);
    const auto likelier = [by](std::int32_t i, std::int32_t j) { return by[i] > by[j] || (by[i] == by[j] && i < j); };
    std::nth_element(order_.begin(), order_.begin() + k_, order_.end(), likelier);
  }
  std::span<const std::int32_t> kept() const { return std::span(order_).first(static_cast<std::size_t>(k_)); }
  std::span<const std::int32_t> rest() const { return std::span(order_).subspan(static_cast<std::size_t>(k_)); }

 private:
  std::vector<std::int32_t> order_;
  std::int64_t k_;
};

/// Both distributions of a row of n classes at a time, with working memory of its own: one per thread.
template <class C>
class DivergenceRow {
 public:
  DivergenceRow(const DivergenceAttrs& attrs, std::int64_t n)
      : attrs_(attrs), n_(n), buffer_(5 * n), outcomes_(attrs.top_k > 0 ? n : 0, attrs.top_k) {
    a_ = buffer_.data();
    s_ = a_ + n;
    b_ = s_ + n;
    t_ = b_ + n;
  }
  /// Room for a row of logits on its way to `load`.
  C* raw() const { return t_ + n_; }
  void load_student(const C* logits) const {
    log_probabilities(logits, static_cast<C>(1 / attrs_.student_temperature), n_, a_, s_);
  }
  void load_teacher(const C* logits) const {
    log_probabilities(logits, static_cast<C>(1 / attrs_.teacher_temperature), n_, b_, t_);
  }

  C value() {
    C result = 0;
    visit_kind<C>(attrs_, [&](auto kind) {
      if (attrs_.top_k == 0) {
        const C *a = a_, *s = s_, *b = b_, *t = t_;
        result = lane_sum<C>(n_, [=](std::int64_t i) { return kind.term(s[i], t[i], a[i], b[i]); });
        return;
      }
      const Tail tail = merge();
      for (const std::int32_t i : outcomes_.kept()) result += kind.term(s_[i], t_[i], a_[i], b_[i]);
      result += kind.term(tail.s, tail.t, tail.a, tail.b);
    });
    return result;
  }

  /// scale / T_s (w - s sum w) with respect to the student's logits, w = s dD/ds; valid until the next load.
  C* gradient(C scale) {
    C* const w = a_;
    visit_kind<C>(attrs_, [&](auto kind) {
      if (attrs_.top_k == 0) {
        for (std::int64_t i = 0; i < n_; ++i) w[i] = kind.weight(s_[i], t_[i], a_[i], b_[i]);
        return;
      }
      const Tail tail = merge();
      const C share = tail.s == C(0) ? C(0) : kind.weight(tail.s, tail.t, tail.a, tail.b) / tail.s;
      for (const std::int32_t i : outcomes_.kept()) w[i] = kind.weight(s_[i], t_[i], a_[i], b_[i]);
      for (const std::int32_t i : outcomes_.rest()) w[i] = s_[i] * share;
    });
    const C total = lane_sum<C>(n_, [w](std::int64_t i) { return w[i]; });
    const C factor = scale / static_cast<C>(attrs_.student_temperature);
    for (std::int64_t i = 0; i < n_; ++i) w[i] = factor * (w[i] - s_[i] * total);
    return w;
  }

 private:
  struct Tail {
    C s = 0, t = 0, a = 0, b = 0;
  };
  /// Selects the outcomes of the loaded row; the mass of the rest is summed, not taken from 1, so it keeps its digits.
  Tail merge() {
    outcomes_.select(attrs_.select_by_student ? a_ : b_);
    double s = 0, t = 0;
    for (const std::int32_t i : outcomes_.rest()) {
      s += static_cast<double>(s_[i]);
      t += static_cast<double>(t_[i]);
    }
    Tail tail{static_cast<C>(s), static_cast<C>(t), 0, 0};
    constexpr C kNone = -std::numeric_limits<C>::infinity();
    tail.a = tail.s == C(0) ? kNone : log_fast(tail.s);
    tail.b = tail.t == C(0) ? kNone : log_fast(tail.t);
    return tail;
  }

  const DivergenceAttrs& attrs_;
  std::int64_t n_;
  Scratch<C> buffer_;
  Outcomes outcomes_;
  C *a_, *s_, *b_, *t_;
};

}  // namespace retort::cpu
