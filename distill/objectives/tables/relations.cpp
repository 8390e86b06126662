// distill/objectives/tables/relations.cpp -- what is done to a signal before it is compared.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Tensor standardize(const Tensor& t) {
  const Tensor z = rows(t), centred = z - mean(z, {1}, true);
  const double n = static_cast<double>(z.shape()[1] - 1);
  return centred / (sqrt(sum(square(centred), {1}, true) / n) + 1e-7);
}

Tensor normalize(const Tensor& t) { return rows(t) / sqrt(sum(square(rows(t)), {1}, true)); }

Tensor pool(const Tensor& t) { return t.rank() > 2 ? mean(reshape(t, {t.shape()[0], t.shape()[1], -1}), {2}) : t; }

template <Tensor (*f)(const Tensor&)>
Relation of(TableArgs&) {
  return each(f);
}
}  // namespace

const Table<Relation>& relations() {
  static const Table<Relation> entries{
      {"none", [](TableArgs&) -> Relation { return [](const Tensors& list) { return list; }; }},
      {"standardize", of<standardize>},
      {"normalize", of<normalize>},
      {"pool", of<pool>},
  };
  return entries;
}

}  // namespace retort
