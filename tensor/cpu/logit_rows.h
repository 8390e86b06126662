// tensor/cpu/logit_rows.h -- rows of logits of any float dtype and stride, read and written in compute type, and the
// distributions they stand for.
#pragma once
#include "tensor/cpu/rows.h"
#include "tensor/math.h"

namespace retort::cpu {

/// Calls f(C{}) with float or double.
template <class F>
void visit_compute(DType t, F&& f) {
  if (t == DType::f64)
    f(double{});
  else
    f(float{});
}

/// The rows of a tensor along its last axis as C, whatever its dtype (f64 goes with double alone).
template <class C>
class LogitRows {
 public:
  explicit LogitRows(const Tensor& t) : tensor_(t), n_(t.shape().back()), step_(t.strides().back()) {}
  std::int64_t classes() const { return n_; }
  Layout starts() const { return row_starts(tensor_.layout(), tensor_.rank() - 1); }

  /// The row at `offset`: in place where possible, else converted into `buffer`.
  const C* row(std::int64_t offset, C* buffer) const {
    const C* found = buffer;
    visit([&]<class T>(T) { found = load_row(tensor_.data<T>() + offset, n_, step_, buffer); });
    return found;
  }
  void store(const C* values, std::int64_t offset) const {
    visit([&]<class T>(T) { store_row(values, tensor_.mutable_data<T>() + offset, n_, step_); });
  }

 private:
  template <class F>
  void visit(F&& f) const {
    visit_float(tensor_.dtype(), [&]<class T>(T t) {
      if constexpr (std::is_same_v<compute_t<T>, C>) f(t);
    });
  }
  const Tensor& tensor_;
  std::int64_t n_, step_;
};

/// exp(x - max) into y; returns the sum. Entries of -infinity give 0, also in a row that has nothing else.
template <class C>
C exp_shifted(const C* x, C* y, std::int64_t n, C& shift) {
  const C top = row_max(x, n);
  shift = top == -std::numeric_limits<C>::infinity() ? C(0) : top;
  const C s = shift;
  for (std::int64_t i = 0; i < n; ++i) y[i] = exp_fast(x[i] - s);
  return lane_sum<C>(n, [y](std::int64_t i) { return y[i]; });
}

/// log softmax(x scale) into log_p and softmax(x scale) into p. A row of nothing but -infinity has p = 0.
template <class C>
void log_probabilities(const C* x, C scale, std::int64_t n, C* __restrict log_p, C* __restrict p) {
  const C top = row_max(x, n), shift = top == -std::numeric_limits<C>::infinity() ? C(0) : top;
  for (std::int64_t i = 0; i < n; ++i) log_p[i] = (x[i] - shift) * scale;
  for (std::int64_t i = 0; i < n; ++i) p[i] = exp_fast(log_p[i]);
  const C total = lane_sum<C>(n, [p](std::int64_t i) { return p[i]; });
  const C log_total = total == C(0) ? C(0) : log_fast(total), inverse = total == C(0) ? C(0) : C(1) / total;
  for (std::int64_t i = 0; i < n; ++i) {
    log_p[i] -= log_total;
    p[i] *= inverse;
  }
}

}  // namespace retort::cpu
