#include "distill/train/method_check.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/diffusion/guidance.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/train/answers.h"
#include "distill/train/controller.h"
#include "distill/train/job.h"
#include "distill/train/models.h"
#include "distill/train/sampler.h"
#include "distill/train/state.h"
#include "distill/train/terms.h"
#include "tensor/write.h"

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
  Tensor labels, tokens;
  Clock clock;
  std::optional<NoiseSchedule> schedule;
  std::vector<std::pair<std::string, Call>> asked;  ///< roles that terms ask themselves, and their architecture
  std::vector<std::string> gradients;               ///< parameters
  std::map<std::string, Call> nets;                 ///< closed forms that answer as roles
  TensorMap conditions;                             ///< other labels by name
  std::set<std::string> terms;                      ///< that the check names: with nets, no others are asked

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
    } else if (s.key() == "tokens") {
      g.tokens = cast(tensor_of(s), DType::i64);
    } else {
      g.signals[s.key()] = tensor_of(s);
    }
  }
  if (check.has("asked"))
    for (Config& net : check.child("asked").items()) g.asked.emplace_back(net.key(), parse_call(net));
  if (check.has("gradient"))
    for (Config& parameter : check.child("gradient").items()) g.gradients.push_back(parameter.key());
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
  std::map<std::string, double> gradients;  ///< the same in parameters by name
};

double weighted_sum(const Tensors& gradients) {
  double sum = 0, place = 0;
  for (const Tensor& g : gradients)
    for (const double v : g.values()) sum += ++place * v;
  return sum;
}

/// The roles that terms ask themselves, with the parameters that a check gives, in f64.
Roles roles_of(const Given& given, std::map<std::string, Parameter*>& parameters) {
  Roles roles;
  for (const auto& [name, arch] : given.asked) {
    Role& role = roles[name];
    role.name = name;
    role.compute = DType::f64;
    role.model = build_model(arch, {});
    convert(*role.model, DType::f64);
    for (const NamedParameter& p : parameters_of(*role.model)) {
      const std::string full = name + "." + p.name;
      const Tensor& value = lookup(given.signals, Call{full, {}, "checks"}, "signal");
      assign_(p.parameter->value, reshape(value, p.parameter->value.shape()), "checks");
      parameters[full] = p.parameter;
    }
    role.net = model_net(role);
  }
  return roles;
}

/// Roles that an update trains: R of `train: [R, R.x]`.
std::set<std::string> trained_by(Config& update) {
  std::set<std::string> roles;
  for (const auto& name : update.get<std::vector<std::string>>("train")) roles.insert(name.substr(0, name.find('.')));
  return roles;
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
  std::map<std::string, Parameter*> parameters;
  const Roles roles = roles_of(given, parameters);
  const std::set<std::string> trained = trained_by(updates.at(update).get());
  Tape tape;
  Leaves leaves(tape);
  Pass pass{static_cast<std::uint32_t>(given.clock.step), Rng(0), true, &leaves, nullptr};
  Batch batch;
  const auto x = given.signals.find("x");
  if (x != given.signals.end()) batch.x = tape.watch(x->second);
  batch.y = given.labels;
  if (given.tokens.defined()) {
    batch.x = given.tokens;
    for (const auto& [name, value] : given.signals) batch.more[name] = value;
  }
  Tensor total;
  for (Config& weight : updates.at(update).get().child("terms").items()) {
    Config& node = method.child("terms." + weight.key());
    const auto term = make_term(weight.key(), node, numbers, given.schedule ? &*given.schedule : nullptr);
    Signals signals;
    for (const Read& r : term->reads())
      signals.push_back(r.str() == "x" && batch.x.defined() ? Tensors{batch.x} : given.signal(r, node.where()));
    if (!batch.x.defined() && !signals.empty()) batch.x = signals.at(0).at(0);
    TensorMap states = states_of(given);
    states["x"] = batch.x;
    const TermInput in{batch,  signals, given.clock, states, given.schedule ? &*given.schedule : nullptr,
                       &roles, &pass,   &trained};
    const Tensor value = term->eval(in).total * (1.0 / term->units(batch));
    values.terms[weight.key()] = value.item();
    const Tensor share = value * Weight::parse(weight, numbers).at(given.clock);
    total = total.defined() ? total + share : share;
  }
  values.total = total.item();
  std::vector<Tensor> wanted;
  if (x != given.signals.end()) wanted.push_back(batch.x);
  for (const std::string& name : given.gradients)
    wanted.push_back(leaves.of(*lookup(parameters, Call{name, {}, "checks"}, "parameter"), false));
  if (wanted.empty()) return values;
  const Tensors g = tape.gradients(total, wanted);
  if (x != given.signals.end()) values.pull = weighted_sum({g[0]});
  for (std::size_t i = 0; i < given.gradients.size(); ++i)
    values.gradients[given.gradients[i]] = weighted_sum({g[g.size() - given.gradients.size() + i]});
  return values;
}

/// What a sampler of the method makes of the given noise.
double draw_given(Config method, const Given& given, const std::string& name) {
  Roles roles;
  add_roles(roles, method, given);
  const Samplers samplers = parse_samplers(method.child("samplers"), numbers_of(method), roles);
  const Tensor& noise = given.signals.at("noise");
  SampleRequest request{{noise.size(1)}, arange(noise.size(0)), DType::f64, kCpu, {}};
  request.noise = [&](const std::string& stream) -> StepNoise {
    return [&given, begins = stream == "sampler/noise"](const Tensor&, int) {
      return given.signals.at(begins ? "noise" : "fresh");
    };
  };
  return weighted_sum({draw_samples(lookup(samplers, Call{name, {}, "checks"}, "sampler"), roles, request).x});
}

bool agree(double a, double b) { return std::abs(a - b) <= kAgree * std::max(1.0, std::abs(b)); }
bool differ(double a, double b) { return !(std::abs(a - b) <= kDiffer * std::max(1.0, std::abs(b))); }

void check_sampler(const Config& method, Config& check, const Given& given, std::vector<CheckResult>& results) {
  const std::string name = check.get<std::string>("sampler");
  const double expected = check.get_real("drawn"), got = draw_given(method, given, name);
  results.push_back({"samples of " + name, expected, got, agree(got, expected)});
  const auto mutants = check.get<std::vector<std::string>>("mutants");
  if (mutants.empty()) check.fail("a check needs at least one mutant that must miss the samples");
  for (const std::string& assignment : mutants) {
    Config mutated = method;
    mutated.apply_override(assignment);
    const double value = draw_given(mutated, given, name);
    results.push_back({"must miss: " + assignment, expected, value, differ(value, expected)});
  }
}

void run_check(Config method, Config& check, std::vector<CheckResult>& results) {
  if (check.has("with"))
    for (const auto& assignment : check.get<std::vector<std::string>>("with")) method.apply_override(assignment);
  const Given given = parse_given(check);
  if (check.has("sampler")) return check_sampler(method, check, given, results);
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
  for (const auto& [name, got] : values.gradients)
    compare("gradient " + name, check.child("gradient").get_real(name), got);
  const auto mutants = check.get<std::vector<std::string>>("mutants");
  if (mutants.empty()) check.fail("a check needs at least one mutant that must miss the total");
  for (const std::string& assignment : mutants) {
    Config mutated = method;
    mutated.apply_override(assignment);
    const Values got = evaluate_update(mutated, given, phase, update);
    bool misses = differ(got.total, total) || (pulls && differ(got.pull, pull));
    for (const auto& [name, value] : got.gradients) misses = misses || differ(value, values.gradients.at(name));
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
