#include "distill/train/method_check.h"

#include <cmath>

#include "distill/objectives/match.h"
#include "distill/train/controller.h"
#include "distill/train/job.h"
#include "distill/train/numbers.h"

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

  Tensors signal(const Read& r, const std::string& where) const {
    Tensors list;
    while (const Tensor* next = find(fmt::format("{}.{}", r.str(), list.size()))) list.push_back(*next);
    if (!list.empty()) return list;
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
  g.clock.step = check.get_int("at.step", 0, {.min = 0});
  g.clock.steps = check.get_int("at.steps", 1, {.min = 1});
  g.clock.epoch = check.get_real("at.epoch", 0.0, {.min = 0});
  g.clock.epochs = check.get_real("at.epochs", 1.0, {.above = 0});
  return g;
}

struct Values {
  std::map<std::string, double> terms;  ///< per unit
  double total = 0;
};

/// The phase that a check names, or the first.
Config& phase_of(Config& method, const std::string& name) {
  std::map<std::string, Config*> phases;
  for (Config& p : method.child("phases").items()) {
    if (name.empty()) return p;
    phases[p.get<std::string>("name")] = &p;
  }
  return *lookup(phases, Call{name, {}, "checks"}, "phase");
}

/// The first update of that phase on the given signals.
Values evaluate_update(Config method, const Given& given, const std::string& phase) {
  NumberMap numbers;
  if (method.has("numbers"))
    for (Config& n : method.child("numbers").items()) {
      const bool controlled = !n.is_scalar() && n.has("control");
      numbers[n.key()] =
          controlled ? Number(make_controller(parse_call(n.child("control")))->number()) : Number::parse(n);
    }
  Config& update = phase_of(method, phase).child("update").items().front();
  Values values;
  for (Config& weight : update.child("terms").items()) {
    Config& node = method.child("terms." + weight.key());
    node.get_choice("kind", {"match"});
    const auto term = make_match(parse_match(weight.key(), node, numbers));
    Signals signals;
    for (const Read& r : term->reads()) signals.push_back(given.signal(r, node.where()));
    Batch batch;
    batch.x = signals.at(0).at(0);
    batch.y = given.labels;
    const double value = term->eval({batch, signals, given.clock, {}}).total.item() / term->units(batch);
    values.terms[weight.key()] = value;
    values.total += Weight::parse(weight, numbers).at(given.clock) * value;
  }
  return values;
}

bool agree(double a, double b) { return std::abs(a - b) <= kAgree * std::max(1.0, std::abs(b)); }
bool differ(double a, double b) { return !(std::abs(a - b) <= kDiffer * std::max(1.0, std::abs(b))); }

void run_check(const Config& method, Config& check, std::vector<CheckResult>& results) {
  const Given given = parse_given(check);
  const std::string phase = check.get("phase", "");
  const Values values = evaluate_update(method, given, phase);
  const auto compare = [&](const std::string& what, double expected, double got) {
    results.push_back({what, expected, got, agree(got, expected)});
  };
  for (Config& t : check.child("terms").items()) {
    if (!values.terms.contains(t.key())) t.fail("the update has no such term");
    compare(t.key(), t.as<double>(), values.terms.at(t.key()));
  }
  const double total = check.get_real("total");
  compare("total", total, values.total);
  const auto mutants = check.get<std::vector<std::string>>("mutants");
  if (mutants.empty()) check.fail("a check needs at least one mutant that must miss the total");
  for (const std::string& assignment : mutants) {
    Config mutated = method;
    mutated.apply_override(assignment);
    const double got = evaluate_update(mutated, given, phase).total;
    results.push_back({"must miss: " + assignment, total, got, differ(got, total)});
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
