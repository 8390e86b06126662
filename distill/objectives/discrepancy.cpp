#include "distill/objectives/discrepancy.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
template <class Entry>
Entry make(const Table<Entry>& table, const Call& call, const NumberMap& numbers, std::string_view what) {
  TableArgs args(call, numbers);
  Entry entry = lookup(table, call, what)(args);
  args.done();
  return entry;
}

template <class Entry>
Table<Entry> joined(std::initializer_list<const Table<Entry>*> themes) {
  Table<Entry> all;
  for (const Table<Entry>* theme : themes) all.insert(theme->begin(), theme->end());
  return all;
}

const Table<Discrepancy>& discrepancies() {
  static const auto all = joined<Discrepancy>(
      {&logit_discrepancies(), &label_discrepancies(), &soft_target_discrepancies(), &score_discrepancies(),
       &alignment_discrepancies(), &feature_discrepancies(), &regression_discrepancies(), &list_discrepancies(),
       &contrastive_discrepancies(), &drift_discrepancies()});
  return all;
}

const Table<State>& all_states() {
  static const auto all = joined<State>({&states(), &trajectory_states(), &patch_states()});
  return all;
}

const Table<Relation>& all_relations() {
  static const auto all = joined<Relation>({&relations(), &batch_relations(), &logit_relations()});
  return all;
}
}  // namespace

Weight TableArgs::scheduled(const std::string& parameter) { return Weight::of(call(parameter), numbers_); }

Weight TableArgs::scheduled(const std::string& parameter, double fallback) {
  const auto given = optional_call(parameter);
  return given ? Weight::of(*given, numbers_) : Weight(fallback);
}

Tensor rows(const Tensor& t) {
  const Tensor flat = reshape(t, {t.shape()[0], -1});
  return flat.dtype() == DType::f64 ? flat : cast(flat, DType::f32);
}

Tensor vectors(const Tensor& t) {
  const Tensor grouped = reshape(t, {t.shape()[0], -1, t.size(-1)});
  return grouped.dtype() == DType::f64 ? grouped : cast(grouped, DType::f32);
}

Tensor unit_length(const Tensor& x, int axis) { return x / sqrt(maximum(sum(square(x), {axis}, true), 1e-24)); }

Tensor tempered(const Tensor& logits, double T) { return T == 1 ? rows(logits) : rows(logits) / T; }

Relation each(std::function<Tensor(const Tensor&)> f, Scope scope) {
  const auto map = [f = std::move(f)](const Tensors& list) {
    Tensors mapped;
    for (const Tensor& t : list) mapped.push_back(f(t));
    return mapped;
  };
  return {map, scope};
}

Discrepancy per_element(std::string formula, std::function<Tensor(const Tensor&, const Tensor&)> f) {
  Discrepancy d;
  d.formula = std::move(formula);
  d.value = [f = std::move(f)](const Comparison& c) { return sum(f(rows(c.pred), rows(c.target)), {1}); };
  return d;
}

Discrepancy make_discrepancy(const Call& call, const NumberMap& numbers) {
  return make(discrepancies(), call, numbers, "discrepancy");
}

Relation parse_relation(Config& node, const NumberMap& numbers) {
  std::vector<Relation> chain;
  const auto add = [&](Config& c) { chain.push_back(make(all_relations(), parse_call(c), numbers, "relation")); };
  if (node.is_list())
    for (Config& c : node.items()) add(c);
  else
    add(node);
  Relation all;
  all.map = [chain](const Tensors& list) {
    Tensors value = list;
    for (const Relation& r : chain) value = r(value);
    return value;
  };
  for (const Relation& r : chain)
    if (r.scope == Scope::batch) all.scope = Scope::batch;
  return all;
}

TargetMap make_target_map(const Call& call, const NumberMap& numbers) {
  static const auto all = joined<TargetMap>({&target_maps(), &logit_maps()});
  return make(all, call, numbers, "target map");
}

UnitWeight make_unit_weight(const Call& call, const NumberMap& numbers) {
  return make(unit_weights(), call, numbers, "weight");
}

State make_state(const std::string& name, const Call& call, const NumberMap& numbers) {
  State state = make(all_states(), call, numbers, "point");
  state.name = name;
  return state;
}

}  // namespace retort
