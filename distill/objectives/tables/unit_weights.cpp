// distill/objectives/tables/unit_weights.cpp -- detached weights of samples.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// 1 - exp(-CE_student / CE_teacher): a sample that the student knows better than the teacher counts less (WSLD, Zhou
/// et al. 2021).
Tensor student_share(const Comparison& c) {
  const Tensor s = cross_entropy(rows(c.pred), c.batch.y), t = cross_entropy(rows(c.target), c.batch.y);
  return 1.0 - exp(neg(s / t));
}
}  // namespace

const Table<UnitWeight>& unit_weights() {
  static const Table<UnitWeight> entries{
      {"student_share", [](TableArgs&) -> UnitWeight { return student_share; }},
  };
  return entries;
}

}  // namespace retort
