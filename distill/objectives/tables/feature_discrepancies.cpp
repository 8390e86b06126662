// distill/objectives/tables/feature_discrepancies.cpp -- comparisons of features, per sample.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

const Table<Discrepancy>& feature_discrepancies() {
  static const Table<Discrepancy> entries{
      {"sq",
       [](TableArgs&) {
         return per_element("|a - b|^2", [](const Tensor& a, const Tensor& b) { return square(a - b); });
       }},
      {"l1",
       [](TableArgs&) {
         return per_element("|a - b|_1", [](const Tensor& a, const Tensor& b) { return abs(a - b); });
       }},
  };
  return entries;
}

}  // namespace retort
