// distill/objectives/tables/unit_weights.cpp -- detached weights of samples.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Tensor ce_of(const Tensor& logits, const Comparison& c) { return cross_entropy(rows(logits), c.batch.y); }

/// 1 - exp(-CE_student / CE_teacher), 1e-7 in the denominator: a sample that the student knows better than the teacher
/// counts less, and one without a label not at all (WSLD, Zhou et al. 2021).
Tensor student_share(const Comparison& c) { return 1.0 - exp(neg(ce_of(c.pred, c) / (ce_of(c.target, c) + 1e-7))); }

/// 1 where the target's cross-entropy is below the prediction's: of two peers the better one teaches.
Tensor more_reliable(const Comparison& c) {
  const Tensor own = ce_of(c.pred, c);
  return cast(less(ce_of(c.target, c), own), own.dtype());
}

template <Tensor (*f)(const Comparison&)>
UnitWeight of(TableArgs&) {
  return f;
}
}  // namespace

const Table<UnitWeight>& unit_weights() {
  static const Table<UnitWeight> entries{
      {"student_share", of<student_share>},
      {"more_reliable", of<more_reliable>},
  };
  return entries;
}

}  // namespace retort
