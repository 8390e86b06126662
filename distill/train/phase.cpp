#include "distill/train/phase.h"

#include <cmath>

#include "distill/train/call.h"
#include "nn/optim/adam.h"
#include "nn/optim/sgd.h"

namespace retort {

namespace {
AdamOptions parse_adam(Config& c) {
  AdamOptions o;
  if (c.has("betas")) {
    const auto betas = c.get<std::vector<double>>("betas");
    if (betas.size() != 2) c.child("betas").fail("expected [beta1, beta2]");
    o.beta1 = betas[0];
    o.beta2 = betas[1];
  }
  o.eps = c.get_real("eps", o.eps, {.above = 0});
  o.weight_decay = c.get_real("wd", 0.0, {.min = 0});
  return o;
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

Maker parse_maker(const std::string& kind, Config& c) {
  if (kind == "sgd") {
    SgdOptions o;
    o.momentum = c.get_real("momentum", 0.0, {.min = 0, .max = 1});
    o.nesterov = c.get("nesterov", false);
    o.weight_decay = c.get_real("wd", 0.0, {.min = 0});
    return [o] { return std::make_unique<Sgd>(o); };
  }
  const AdamOptions o = parse_adam(c);
  if (kind == "adam") return [o] { return std::make_unique<Adam>(o); };
  return [o] { return std::make_unique<AdamW>(o); };
}

std::int64_t parse_steps(Config& phase, PlanContext& context, const std::string& source) {
  Config* from = &phase;
  if (phase.get<std::string>("steps") == "job") {
    if (!context.job_steps->has("steps")) phase.child("steps").fail("the method leaves it to the job; set run.steps");
    from = context.job_steps;
  }
  const std::string text = from->get<std::string>("steps");
  const Call call = parse_call(text.substr(0, text.find(' ')), from->child("steps").where());
  const auto count = call.number();
  const bool epochs = text.ends_with(" epochs");
  if (!count || *count < 0 || (!epochs && text.find(' ') != std::string::npos))
    from->child("steps").fail("expected a number of steps, or \"N epochs\"");
  const double steps = epochs ? *count * static_cast<double>(context.steps_per_epoch(source)) : *count;
  return static_cast<std::int64_t>(std::llround(steps));
}

void require_known(const std::set<std::string>& names, const std::string& name, Config& at, std::string_view what) {
  if (!names.contains(name)) fail_lookup({name, {}, at.where()}, what, {names.begin(), names.end()});
}

UpdateSpec parse_update(Config& c, PlanContext& context) {
  UpdateSpec u;
  u.train = c.get<std::vector<std::string>>("train");
  for (const std::string& role : u.train) require_known(context.roles, role, c.child("train"), "role");
  for (Config& term : c.child("terms").items()) {
    require_known(context.terms, term.key(), term, "term");
    u.terms.emplace_back(term.key(), Weight::parse(term, context.numbers));
  }
  if (u.train.empty() || u.terms.empty()) c.fail("an update needs roles in `train` and at least one term");
  u.every = c.get_int("every", 1, {.min = 1});
  u.clip = c.get_real("clip", 0.0, {.min = 0});
  Config& optim = c.child("optim");
  if (optim.is_scalar()) {
    if (optim.as<std::string>() != "job") optim.fail("expected an optimiser, or `job`");
    if (!context.job_optim->has(u.train[0]))
      optim.fail(fmt::format("the method leaves it to the job; set optim.{}", u.train[0]));
    u.optim = parse_optim(context.job_optim->child(u.train[0]));
  } else {
    u.optim = parse_optim(optim);
  }
  return u;
}
}  // namespace

OptimSpec parse_optim(Config& node) {
  OptimSpec spec;
  int found = 0;
  for (const char* kind : {"sgd", "adam", "adamw"}) {
    if (!node.has(kind)) continue;
    Config& c = node.child(kind);
    spec.schedule.base = c.get_real("lr", {.min = 0});
    spec.make = parse_maker(kind, c);
    ++found;
  }
  if (found != 1) node.fail("expected exactly one of sgd, adam, adamw");
  if (node.has("schedule")) spec.schedule = parse_schedule(node.child("schedule"), spec.schedule.base);
  return spec;
}

std::vector<PhaseSpec> parse_phases(Config& phases, PlanContext& context) {
  std::vector<PhaseSpec> plan;
  for (Config& c : phases.items()) {
    PhaseSpec p;
    p.name = c.get<std::string>("name");
    for (Config& u : c.child("update").items()) p.updates.push_back(parse_update(u, context));
    if (p.updates.empty()) c.fail("a phase needs at least one update");
    p.steps = parse_steps(c, context, context.term_source.at(p.updates[0].terms[0].first));
    plan.push_back(std::move(p));
  }
  if (plan.empty()) phases.fail("a method needs at least one phase");
  return plan;
}

}  // namespace retort
