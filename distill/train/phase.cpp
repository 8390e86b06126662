#include "distill/train/phase.h"

#include <cmath>

#include "distill/objectives/match.h"
#include "distill/train/call.h"
#include "nn/optim/adafactor.h"
#include "nn/optim/adam.h"
#include "nn/optim/lion.h"
#include "nn/optim/sgd.h"
#include "nn/optim/split_momentum.h"

namespace retort {

namespace {
void parse_betas(Config& c, double& beta1, double& beta2) {
  if (!c.has("betas")) return;
  const auto betas = c.get<std::vector<double>>("betas");
  if (betas.size() != 2) c.child("betas").fail("expected [beta1, beta2]");
  beta1 = betas[0];
  beta2 = betas[1];
}

AdamOptions parse_adam(Config& c) {
  AdamOptions o;
  parse_betas(c, o.beta1, o.beta2);
  o.eps = c.get_real("eps", o.eps, {.above = 0});
  o.weight_decay = c.get_real("wd", 0.0, {.min = 0});
  return o;
}

/// lr: a literal, or a constant number of the method.
double learning_rate(Config& c, bool optional, const NumberMap& numbers) {
  if (optional && !c.has("lr")) return c.get_real("lr", 1e-2);
  const Call lr = with_numbers(Call{"lr", {{"", parse_call(c.child("lr"))}}, c.where()}, numbers).args[0].value;
  if (!lr.number()) return c.get_real("lr", {.min = 0});
  if (*lr.number() < 0) c.child("lr").fail("expected a number of at least 0");
  return *lr.number();
}

/// `cosine(warmup=.1 floor=0)`, `step(.5 .75 gamma=.1)`, ...: see nn/optim/schedule.h.
Schedule parse_schedule(Config& node, double lr) {
  CallArgs args(parse_call(node));
  Schedule s;
  s.base = lr;
  s.kind = schedule_kind(parse_call(node).name);
  if (s.kind == Schedule::Kind::step) {
    s.gamma = args.number("gamma", s.gamma, {.above = 0});
    for (const Call& m : args.rest()) {
      if (!m.number()) m.fail("milestones are steps, or fractions of the phase below 1");
      s.milestones.push_back(*m.number());
    }
  } else {
    s.warmup = args.number("warmup", 0.0, {.min = 0});
    s.floor = args.number("floor", 0.0, {.min = 0, .max = 1});
    if (s.kind == Schedule::Kind::one_cycle) s.start = args.number("start", s.start, {.min = 0, .max = 1});
  }
  args.done();
  return s;
}

using Maker = std::function<std::unique_ptr<Optimizer>()>;

template <class Optimizer, class Options>
Maker maker_of(const Options& options) {
  return [options] { return std::make_unique<Optimizer>(options); };
}

Maker parse_sgd(Config& c) {
  SgdOptions o;
  o.momentum = c.get_real("momentum", 0.0, {.min = 0, .max = 1});
  o.nesterov = c.get("nesterov", false);
  o.weight_decay = c.get_real("wd", 0.0, {.min = 0});
  return maker_of<Sgd>(o);
}

Maker parse_lion(Config& c) {
  LionOptions o;
  parse_betas(c, o.beta1, o.beta2);
  o.weight_decay = c.get_real("wd", 0.0, {.min = 0});
  return maker_of<Lion>(o);
}

Maker parse_adafactor(Config& c) {
  AdafactorOptions o;
  o.beta1 = c.get_real("beta1", o.beta1, {.min = 0, .max = 1});
  o.decay = c.get_real("decay", o.decay, {.min = 0});
  if (c.has("eps")) {
    const auto eps = c.get<std::vector<double>>("eps");
    if (eps.size() != 2) c.child("eps").fail("expected [eps1, eps2]");
    o.eps1 = eps[0];
    o.eps2 = eps[1];
  }
  o.threshold = c.get_real("threshold", o.threshold, {.above = 0});
  o.weight_decay = c.get_real("wd", 0.0, {.min = 0});
  o.relative = c.get("relative", true);
  return maker_of<Adafactor>(o);
}

Maker parse_split(Config& c, double delta) {
  SplitMomentumOptions o;
  o.delta = delta;
  o.momentum = c.get_real("momentum", {.min = 0, .max = 1});
  o.weight_decay = c.get_real("wd", 0.0, {.min = 0});
  return maker_of<SplitMomentum>(o);
}

using OptimizerTable = std::map<std::string, Maker (*)(Config&), std::less<>>;

const OptimizerTable& optimizers() {
  static const OptimizerTable table{{"sgd", parse_sgd},
                                    {"adam", [](Config& c) { return maker_of<Adam>(parse_adam(c)); }},
                                    {"adamw", [](Config& c) { return maker_of<AdamW>(parse_adam(c)); }},
                                    {"lion", parse_lion},
                                    {"adafactor", parse_adafactor}};
  return table;
}

using AggregateRule = AggregateSpec (*)(CallArgs&);

/// A rule that is a function of the Gram matrix alone.
template <LossWeights (*rule)(const Gram&)>
AggregateSpec of_gram(CallArgs&) {
  return {[](const Gram& g, const RngKey&) { return rule(g); }, {}};
}

const std::map<std::string, AggregateRule, std::less<>>& aggregates() {
  static const std::map<std::string, AggregateRule, std::less<>> table{
      {"sum", [](CallArgs&) { return AggregateSpec{}; }},
      {"min_norm", of_gram<min_norm_weights>},
      {"upgrad", of_gram<upgrad_weights>},
      {"dualproj", of_gram<dualproj_weights>},
      {"pcgrad",
       [](CallArgs&) {
         return AggregateSpec{pcgrad_weights, {}};
       }},
      {"cagrad",
       [](CallArgs& args) {
         const double c = args.number("c", 0.5, {.min = 0});
         return AggregateSpec{[c](const Gram& g, const RngKey&) { return cagrad_weights(g, c); }, {}};
       }},
      {"nash", of_gram<nash_weights>},
      {"aligned", of_gram<aligned_weights>},
      {"imtl", of_gram<imtl_weights>},
      {"split_momentum", [](CallArgs& args) {
         return AggregateSpec{{}, args.number("delta", {.min = 0, .max = 1})};
       }}};
  return table;
}

std::int64_t parse_steps(Config& phase, PlanContext& context, const std::string& source) {
  Config* from = &phase;
  if (phase.get<std::string>("steps") == "job") {
    if (!context.job_steps->has("steps")) phase.child("steps").fail("the method leaves it to the job; set run.steps");
    from = context.job_steps;
  }
  const std::string text = from->get<std::string>("steps");
  const Call call = parse_call(text.substr(0, text.find(' ')), from->child("steps").where());
  const auto count = with_numbers(Call{"steps", {{"", call}}, call.where}, context.numbers).args[0].value.number();
  const bool epochs = text.ends_with(" epochs");
  if (!count || *count < 0 || (!epochs && text.find(' ') != std::string::npos))
    from->child("steps").fail("expected a number of steps, or \"N epochs\"");
  const double steps = epochs ? *count * static_cast<double>(context.steps_per_epoch(source)) : *count;
  return static_cast<std::int64_t>(std::llround(steps));
}

void require_known(const std::set<std::string>& names, const std::string& name, Config& at, std::string_view what) {
  if (!names.contains(name)) fail_lookup({name, {}, at.where()}, what, {names.begin(), names.end()});
}

/// Gives every term its gradient: one for all, one each, or the task's and the distillation's.
void group_terms(UpdateSpec& u, Config& c, const PlanContext& context) {
  std::set<std::size_t> seen;
  for (std::size_t k = 0; k < u.terms.size(); ++k) {
    const std::size_t side = context.label_terms.contains(u.terms[k].first) ? 0 : 1;
    u.group.push_back(u.aggregate.weights ? k : u.aggregate.delta ? side : 0);
    seen.insert(u.group.back());
  }
  if (u.aggregate.delta && seen.size() < 2)
    c.child("aggregate").fail("split_momentum needs a term that compares with labels and one that does not");
}

void parse_puts(UpdateSpec& u, Config& puts, const PlanContext& context) {
  for (Config& c : puts.items()) {
    const std::string& source = lookup(context.store_source, Call{c.key(), {}, c.where()}, "store");
    PutSpec put{c.key(), source, parse_read(c)};
    require_known(context.roles, put.read.role, c, "role");
    if (put.read.at != "x") c.fail("a store takes what is read at the batch itself");
    u.puts.push_back(std::move(put));
  }
}

Between parse_between(Config& c, const PlanContext& context) {
  const Call call = parse_call(c);
  CallArgs args(call);
  Between b{};
  if (call.name == "copy") {
    b.kind = Between::Kind::copy;
    b.from = args.word("from");
    require_known(context.roles, b.from, c, "role");
    b.role = args.word("to");
  } else if (call.name == "fresh") {
    b.kind = Between::Kind::fresh;
    b.role = args.word("role");
  } else {
    fail_lookup(call, "action", {"copy", "fresh"});
  }
  require_known(context.roles, b.role, c, "role");
  args.done();
  return b;
}

/// The values that `for` goes through; one, 0, without it.
std::vector<double> parse_loop(Config& phase, const PlanContext& context) {
  if (!phase.has("for")) return {0};
  const auto items = phase.child("for").items();
  if (items.size() != 1) phase.child("for").fail("expected one name with its values: {k: [8, 4, 2, 1]} or {k: 3}");
  Config& values = items[0];
  if (values.is_list()) return values.as<std::vector<double>>();
  std::vector<double> counted;
  const Call given = with_numbers(Call{"for", {{"", parse_call(values)}}, values.where()}, context.numbers);
  const double passes = given.args[0].value.number().value_or(0);
  if (passes < 1 || passes > 100000 || passes != std::floor(passes)) values.fail("expected a number of passes");
  for (double i = 1; i <= passes; ++i) counted.push_back(i);
  return counted;
}

/// The optimiser at `node`, or the job's own for ROLE or ROLE.PREFIX.
OptimSpec parse_optim_of(Config& node, const MoveSpec::Group& group, const UpdateSpec& u, const PlanContext& context) {
  if (!node.is_scalar()) return parse_optim(node, u.aggregate.delta, context.numbers);
  if (node.as<std::string>() != "job") node.fail("expected an optimiser, or `job`");
  const std::string full = group.prefix.empty() ? group.role : group.role + "." + group.prefix;
  for (const std::string& name : {full, std::string("default")})
    if (context.job_optim->has(name))
      return parse_optim(context.job_optim->child(name), u.aggregate.delta, context.numbers);
  node.fail(fmt::format("the method leaves it to the job; set optim.{} (or optim.default)", full));
}

/// train: [ROLE, ..] with one optimiser, or [ROLE.PREFIX, ..] with one for each: optim: {ROLE.PREFIX: {..}, ..}.
void parse_moves(UpdateSpec& u, Config& c, const PlanContext& context) {
  bool split = false;
  std::vector<MoveSpec::Group> groups;
  for (Config& entry : c.child("train").items()) {
    const std::string name = entry.as<std::string>();
    const auto dot = name.find('.');
    groups.push_back({name.substr(0, dot), dot == std::string::npos ? "" : name.substr(dot + 1)});
    require_known(context.roles, groups.back().role, entry, "role");
    if (std::find(u.train.begin(), u.train.end(), groups.back().role) == u.train.end())
      u.train.push_back(groups.back().role);
    split = split || dot != std::string::npos;
  }
  if (groups.empty()) c.fail("an update needs roles in `train`");
  if (c.has("aggregate")) u.aggregate = parse_aggregate(c.child("aggregate"));
  Config& optim = c.child("optim");
  if (!split) {
    u.moves.push_back({groups, parse_optim_of(optim, groups[0], u, context)});
    return;
  }
  if (u.aggregate.delta) c.child("aggregate").fail("split_momentum is one optimiser for all parameters");
  if (optim.is_scalar()) {
    for (const MoveSpec::Group& group : groups) u.moves.push_back({{group}, parse_optim_of(optim, group, u, context)});
    return;
  }
  std::map<std::string, Config*, std::less<>> given;
  for (Config& node : optim.items()) given[node.key()] = &node;
  for (const MoveSpec::Group& group : groups) {
    const std::string name = MoveSpec{{group}, {}}.str();
    Config& node = *lookup(given, Call{name, {}, optim.where()}, "optimiser of the update");
    u.moves.push_back({{group}, parse_optim_of(node, group, u, context)});
  }
}

UpdateSpec parse_update(Config& c, PlanContext& context) {
  UpdateSpec u;
  parse_moves(u, c, context);
  for (Config& term : c.child("terms").items()) {
    require_known(context.terms, term.key(), term, "term");
    u.terms.emplace_back(term.key(), Weight::parse(term, context.numbers));
  }
  if (u.terms.empty()) c.fail("an update needs at least one term");
  u.every = c.get_int("every", 1, {.min = 1});
  u.clip = c.get_real("clip", 0.0, {.min = 0});
  if (c.has("put")) parse_puts(u, c.child("put"), context);
  group_terms(u, c, context);
  return u;
}

void parse_records(PhaseSpec& p, Config& c, const PlanContext& context, const std::string& source) {
  for (Config& r : c.child("record").items()) {
    require_known(context.trajectories, r.key(), r, "store of weights");
    RecordSpec record;
    record.store = r.key();
    record.role = r.get<std::string>("role");
    require_known(context.roles, record.role, r, "role");
    const bool epochs = r.get<std::string>("every") == "epoch";
    record.every = epochs ? context.steps_per_epoch(source) : r.get_int("every", {.min = 1});
    record.run = p.loop > 0 ? static_cast<std::int64_t>(p.loop) - 1 : 0;
    p.records.push_back(std::move(record));
  }
}
}  // namespace

std::string MoveSpec::str() const {
  std::string text;
  for (const Group& g : groups)
    text += (text.empty() ? "" : "+") + (g.prefix.empty() ? g.role : g.role + "." + g.prefix);
  return text;
}

OptimSpec parse_optim(Config& node, std::optional<double> delta, const NumberMap& numbers) {
  OptimSpec spec;
  std::vector<std::string> names;
  for (const auto& [kind, parse] : optimizers()) {
    names.push_back(kind);
    if (!node.has(kind)) continue;
    if (spec.make) node.fail("expected exactly one optimiser");
    Config& c = node.child(kind);
    if (delta && kind != "sgd") c.fail("split_momentum is a kind of sgd");
    spec.schedule.base = learning_rate(c, kind == "adafactor", numbers);
    spec.make = delta ? parse_split(c, *delta) : parse(c);
  }
  if (!spec.make) node.fail(fmt::format("expected one optimiser of {}", fmt::join(names, ", ")));
  if (node.has("bounds")) {
    Config& bounds = node.child("bounds");
    if (bounds.is_scalar()) {
      node.get_choice("bounds", {"pixels"});
      spec.clip_pixels = true;
    } else {
      const auto ends = node.get<std::vector<double>>("bounds");
      if (ends.size() != 2 || ends[0] > ends[1]) bounds.fail("expected [low, high], or pixels");
      spec.bounds = {ends[0], ends[1]};
    }
  }
  if (node.has("schedule")) spec.schedule = parse_schedule(node.child("schedule"), spec.schedule.base);
  return spec;
}

AggregateSpec parse_aggregate(Config& node) {
  const Call call = parse_call(node);
  CallArgs args(call);
  AggregateSpec spec = lookup(aggregates(), call, "aggregate")(args);
  args.done();
  return spec;
}

std::vector<PhaseSpec> parse_phases(Config& phases, PlanContext& context) {
  std::vector<PhaseSpec> plan;
  for (Config& c : phases.items()) {
    const std::string name = c.get<std::string>("name");
    const std::vector<double> loop = parse_loop(c, context);
    for (std::size_t pass = 0; pass < loop.size(); ++pass) {
      PhaseSpec p;
      p.name = loop.size() == 1 ? name : fmt::format("{} {}/{}", name, pass + 1, loop.size());
      p.loop = loop[pass];
      for (Config& u : c.child("update").items()) p.updates.push_back(parse_update(u, context));
      if (p.updates.empty()) c.fail("a phase needs at least one update");
      const std::string& source = context.term_source.at(p.updates[0].terms[0].first);
      p.steps = parse_steps(c, context, source);
      if (c.has("record")) parse_records(p, c, context, source);
      if (c.has("between"))
        for (Config& b : c.child("between").items()) p.between.push_back(parse_between(b, context));
      plan.push_back(std::move(p));
    }
  }
  if (plan.empty()) phases.fail("a method needs at least one phase");
  return plan;
}

}  // namespace retort
