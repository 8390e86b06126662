#include "distill/train/method_check.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/tape.h"
#include "distill/diffusion/guidance.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/train/answers.h"
#include "distill/train/controller.h"
#include "distill/train/job.h"
#include "distill/train/models.h"
#include "distill/train/state.h"
#include "distill/train/terms.h"

namespace retort {

namespace {
constexpr double kAgree = 1e-9, kDiffer = 1e-3;

Config builtin(const std::string& slug) {
  return Config::parse(lookup(method_presets(), Call{slug, {}, "methods"}, "method"), slug + ".yaml");
}

/// Nested lists of numbers as a tensor: every list of one depth has the same length.
void flatten(Config& node, std::size_t depth, Shape& shape, std::vector<double>& values) {
  if (!node.is_list()) {
    values.push_back(node.as<double>());
    return;
  }
  const auto items = node.items();
  const auto n = static_cast<std::int64_t>(items.size());
  if (depth == static_cast<std::size_t>(shape.rank())) shape.push_back(n);
  if (shape[static_cast<int>(depth)] != n) node.fail("lists of one depth must have one length");
  for (Config& item : items) flatten(item, depth + 1, shape, values);
}

Tensor tensor_of(Config& node) {
  Shape shape;
  std::vector<double> values;
  flatten(node, 0, shape, values);
  return Tensor::from(values, shape, DType::f64);
}

/// What a check gives: signals by name, labels, and where the numbers are read.
struct Given {
  std::map<std::string, Tensor, std::less<>> signals;
  Tensor labels;
  Clock clock;
  std::optional<NoiseSchedule> schedule;
  std::map<std::string, Call> nets;  ///< closed forms that answer as roles
  TensorMap conditions;              ///< other labels by name
  std::set<std::string> terms;       ///< that the check names: with nets, no others are asked

  Tensors signal(const Read& r, const std::string& where) const {
    Tensors list;
    while (const Tensor* next = find(fmt::format("{}.{}", r.str(), list.size()))) list.push_back(*next);
    if (!list.empty()) return list;
    if (r.guide) {
      Read null = r;
      null.cond = "null";
      const Tensor& cond = one(r.str(), where);
      return {guide(one(null.str(), where), cond, scalar_like(cond, r.guide->at(clock)))};
    }
    if (r.from != Read::From::taps || r.taps.size() < 2) return {one(r.str(), where)};
    for (const TapId& tap : r.taps) {
      Read single = r;
      single.taps = {tap};
      list.push_back(one(single.str(), where));
    }
    return list;
  }

 private:
  const Tensor* find(const std::string& name) const {
    const auto found = signals.find(name);
    return found == signals.end() ? nullptr : &found->second;
  }
  const Tensor& one(const std::string& name, const std::string& where) const {
    return lookup(signals, Call{name, {}, where}, "signal");
  }
};

Given parse_given(Config& check) {
  Given g;
  for (Config& s : check.child("given").items()) {
    if (s.key() == "label") {
      const auto labels = s.as<std::vector<std::int64_t>>();
      g.labels = Tensor::of<std::int64_t>(labels, {static_cast<std::int64_t>(labels.size())});
    } else {
      g.signals[s.key()] = tensor_of(s);
    }
  }
  for (Config& t : check.child("terms").items()) g.terms.insert(t.key());
  if (check.has("labels"))
    for (Config& l : check.child("labels").items()) {
      const auto labels = l.as<std::vector<std::int64_t>>();
      g.conditions[l.key()] = Tensor::of<std::int64_t>(labels, {static_cast<std::int64_t>(labels.size())});
    }
  if (check.has("nets"))
    for (Config& net : check.child("nets").items()) g.nets.emplace(net.key(), parse_call(net));
  if (check.has("schedule")) g.schedule = make_schedule(parse_call(check.child("schedule")));
  g.clock.step = check.get_int("at.step", 0, {.min = 0});
  g.clock.steps = check.get_int("at.steps", 1, {.min = 1});
  g.clock.epoch = check.get_real("at.epoch", 0.0, {.min = 0});
  g.clock.epochs = check.get_real("at.epochs", 1.0, {.above = 0});
  return g;
}

struct Values {
  std::map<std::string, double> terms;  ///< per unit
  double total = 0;
  double pull = 0;  ///< gradient of the total in x, or in parameters, times 1, 2, 3, .. over its elements
};

double weighted_sum(const Tensors& gradients) {
  double sum = 0, place = 0;
  for (const Tensor& g : gradients)
    for (const double v : g.values()) sum += ++place * v;
  return sum;
}

/// The phase that a check names, or the first.
Config& phase_of(Config& method, const std::string& name) {
  std::map<std::string, Config*> phases;
  for (Config& p : method.child("phases").items()) {
    if (name.empty()) return p;
    phases[p.get<std::string>("name")] = &p;
  }
  return *lookup(phases, Call{name, {}, "checks"}, "phase");
}

NumberMap numbers_of(Config& method) {
  NumberMap numbers;
  if (method.has("numbers"))
    for (Config& n : method.child("numbers").items()) {
      const bool controlled = !n.is_scalar() && n.has("control");
      numbers[n.key()] = controlled
                             ? Number(make_controller(with_numbers(parse_call(n.child("control")), numbers))->number())
                             : Number::parse(n);
    }
  return numbers;
}

TensorMap states_of(const Given& given) {
  TensorMap states;
  for (const auto& [name, value] : given.signals) states[name] = value;
  return states;
}

/// The closed forms of a check as the method's roles, in f64.
void add_roles(Roles& roles, Config& method, const Given& given) {
  for (const auto& [name, call] : given.nets) {
    Role& role = roles[name];
    role.name = name;
    role.model = build_model(call, {});  // parameters are 0
    role.compute = DType::f64;
    convert(*role.model, DType::f64);
    role.net = model_net(role);
    if (!is_denoiser(call)) continue;
    const NoiseSchedule schedule = dynamic_cast<const OracleNet&>(*role.model).schedule();
    role.diffusion = Diffusion{schedule, Output(Output::Kind::x0)};
    const std::string own = name.substr(0, name.find('.'));  // R.ema jumps as R does
    if (method.has("roles." + own + ".boundary"))
      role.diffusion->boundary = make_boundary(parse_call(method.child("roles." + own + ".boundary")), schedule);
  }
}

/// One update of that phase with closed forms for roles.
Values evaluate_nets(Config method, const Given& given, const std::string& phase, std::size_t update) {
  const NumberMap numbers = numbers_of(method);
  const auto updates = phase_of(method, phase).child("update").items();
  Roles roles;
  add_roles(roles, method, given);
  const auto names = updates.at(update).get().get<std::vector<std::string>>("train");
  const std::set<std::string> trained(names.begin(), names.end());
  const Stores stores;
  const NoiseSchedule& schedule = roles.at(names.at(0)).diffusion->schedule;
  Tape tape;
  Leaves leaves(tape);
  Pass pass;
  pass.leaves = &leaves;
  Batch batch;
  batch.x = given.signals.at("x");
  batch.y = given.labels;
  batch.labels = given.conditions;
  batch.sample = batch.index = arange(batch.size());
  for (const auto& [name, value] : given.signals)
    if (name != "x") batch.more[name] = value;
  Values values;
  Tensor total;
  for (Config& weight : updates.at(update).get().child("terms").items()) {
    if (!given.terms.contains(weight.key())) continue;
    const auto term = make_term(weight.key(), method.child("terms." + weight.key()), numbers, &schedule);
    Answers answers(roles, stores, batch, trained, pass, given.clock);
    answers.wish(*term);
    const Tensor value = term->eval(answers.input(*term, answers.signals(*term))).total * (1.0 / term->units(batch));
    values.terms[weight.key()] = value.item();
    const Tensor share = value * Weight::parse(weight, numbers).at(given.clock);
    total = total.defined() ? total + share : share;
  }
  values.total = total.item();
  Tensors parameters;
  for (const std::string& role : names)
    for (const NamedParameter& p : parameters_of(roles.at(role))) parameters.push_back(leaves.of(*p.parameter, false));
  values.pull = weighted_sum(tape.gradients(total, parameters));
  return values;
}

/// One update of that phase on the given signals.
Values evaluate_update(Config method, const Given& given, const std::string& phase, std::size_t update) {
  if (!given.nets.empty()) return evaluate_nets(std::move(method), given, phase, update);
  const NumberMap numbers = numbers_of(method);
  const auto updates = phase_of(method, phase).child("update").items();
  Values values;
  Tape tape;
  Batch batch;
  const auto x = given.signals.find("x");
  if (x != given.signals.end()) batch.x = tape.watch(x->second);
  batch.y = given.labels;
  Tensor total;
  for (Config& weight : updates.at(update).get().child("terms").items()) {
    Config& node = method.child("terms." + weight.key());
    const auto term = make_term(weight.key(), node, numbers, given.schedule ? &*given.schedule : nullptr);
    Signals signals;
    for (const Read& r : term->reads())
      signals.push_back(r.str() == "x" && batch.x.defined() ? Tensors{batch.x} : given.signal(r, node.where()));
    if (!batch.x.defined()) batch.x = signals.at(0).at(0);
    TensorMap states = states_of(given);
    states["x"] = batch.x;
    const TermInput in{batch, signals, given.clock, states, given.schedule ? &*given.schedule : nullptr};
    const Tensor value = term->eval(in).total * (1.0 / term->units(batch));
    values.terms[weight.key()] = value.item();
    const Tensor share = value * Weight::parse(weight, numbers).at(given.clock);
    total = total.defined() ? total + share : share;
  }
  values.total = total.item();
  if (x == given.signals.end()) return values;
  values.pull = weighted_sum(tape.gradients(total, std::span(&batch.x, 1)));
  return values;
}

bool agree(double a, double b) { return std::abs(a - b) <= kAgree * std::max(1.0, std::abs(b)); }
bool differ(double a, double b) { return !(std::abs(a - b) <= kDiffer * std::max(1.0, std::abs(b))); }

void run_check(const Config& method, Config& check, std::vector<CheckResult>& results) {
  const Given given = parse_given(check);
  const std::string phase = check.get("phase", "");
  const auto update = static_cast<std::size_t>(check.get_int("update", 0, {.min = 0}));
  const Values values = evaluate_update(method, given, phase, update);
  const auto compare = [&](const std::string& what, double expected, double got) {
    results.push_back({what, expected, got, agree(got, expected)});
  };
  for (Config& t : check.child("terms").items()) {
    if (!values.terms.contains(t.key())) t.fail("the update has no such term");
    compare(t.key(), t.as<double>(), values.terms.at(t.key()));
  }
  const double total = check.get_real("total");
  compare("total", total, values.total);
  const bool pulls = check.has("pull");
  const double pull = pulls ? check.get_real("pull") : 0.0;
  if (pulls) compare("pull", pull, values.pull);
  const auto mutants = check.get<std::vector<std::string>>("mutants");
  if (mutants.empty()) check.fail("a check needs at least one mutant that must miss the total");
  for (const std::string& assignment : mutants) {
    Config mutated = method;
    mutated.apply_override(assignment);
    const Values got = evaluate_update(mutated, given, phase, update);
    const bool misses = differ(got.total, total) || (pulls && differ(got.pull, pull));
    results.push_back({"must miss: " + assignment, total, got.total, misses});
  }
}
}  // namespace

std::vector<CheckResult> check_preset(const std::string& text, const std::string& slug) {
  Config method = Config::parse(text, slug + ".yaml");
  method.resolve_extends(builtin);
  apply_trial(method);
  std::vector<CheckResult> results;
  for (Config& check : method.child("checks").items()) run_check(method, check, results);
  if (results.empty()) method.fail("the method has no checks");
  return results;
}

std::vector<CheckResult> check_method(const std::string& slug) {
  return check_preset(lookup(method_presets(), Call{slug, {}, "methods"}, "method"), slug);
}

}  // namespace retort
