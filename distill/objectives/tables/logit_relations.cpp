// distill/objectives/tables/logit_relations.cpp -- what is compared of a list of tensors.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// Elements start, start + step, ... of a list: one kind of result of heads with several.
Relation make_take(TableArgs& args) {
  const auto start = static_cast<std::size_t>(args.integer("start", {.min = 0}));
  const auto step = static_cast<std::size_t>(args.integer("step", 1, {.min = 1}));
  return {[start, step](const Tensors& list) {
    Tensors taken;
    for (std::size_t i = start; i < list.size(); i += step) taken.push_back(list[i]);
    return taken;
  }};
}

/// All tokens but the first, which is the class's: [n, t, d] -> [n, t - 1, d].
Tensor patches(const Tensor& tokens) { return slice(tokens, 1, 1); }

/// The sum of a list: what a network and its adapter answer together.
Tensors total(const Tensors& list) {
  Tensor all = list.at(0);
  for (std::size_t i = 1; i < list.size(); ++i) all = all + list[i];
  return {all};
}
}  // namespace

const Table<Relation>& logit_relations() {
  static const Table<Relation> entries{{"take", make_take},
                                       {"total", [](TableArgs&) -> Relation { return {total}; }},
                                       {"patches", [](TableArgs&) { return each(patches); }}};
  return entries;
}

}  // namespace retort
