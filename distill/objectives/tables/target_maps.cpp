// distill/objectives/tables/target_maps.cpp -- how the target is made of what was read.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/nn.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// Tempered again by the discrepancy: softmax(T log p / T) is p.
Tensors mean_prob(const MapInput& in) {
  Tensor p;
  for (const Tensors& read : in.targets) {
    const Tensor q = softmax(tempered(read[0], in.T_target), 1);
    p = p.defined() ? p + q : q;
  }
  return {log(p / static_cast<double>(in.targets.size())) * in.T_target};
}

Tensors first(const MapInput& in) { return in.targets[0]; }
}  // namespace

const Table<TargetMap>& target_maps() {
  static const Table<TargetMap> entries{
      {"first", [](TableArgs&) -> TargetMap { return first; }},
      {"mean_prob", [](TableArgs&) -> TargetMap { return mean_prob; }},
  };
  return entries;
}

}  // namespace retort
