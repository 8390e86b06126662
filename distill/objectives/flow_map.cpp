#include "distill/objectives/flow_map.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "distill/diffusion/step.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

Tensor eulerian_tangent(const Tensor& w, const Tensor& dw, const Tensor& v, const Tensor& x, const Tensor& t,
                        const Tensor& s, const NoiseSchedule& schedule, double warmup) {
  const Tensor length = cast(t, DType::f64) - cast(s, DType::f64);
  const bool round = schedule.kind() == NoiseSchedule::Kind::trig;
  const auto column = [&](const Tensor& numbers) { return per_sample(numbers, w); };
  const Tensor slope = stop_gradient(w), rate = stop_gradient(dw);
  if (!round) return stop_gradient(v - slope - column(length) * rate * warmup);
  const Tensor C = cos(length), S = sin(length);
  return stop_gradient(column(square(C)) * (v - slope) - column(C * S) * (x + rate) * warmup);
}

namespace {
class FlowMap final : public Term {
 public:
  explicit FlowMap(FlowMapSpec spec) : residual_(std::move(spec.residual)), reads_{std::move(spec.pred)} {
    if (spec.match.log_variance) reads_.push_back(*spec.match.log_variance);
    match_ = make_match(std::move(spec.match));
  }
  const std::string& name() const override { return match_->name(); }
  Scope scope() const override { return match_->scope(); }
  const std::vector<Read>& reads() const override { return reads_; }
  const StatePlan& plan() const override { return match_->plan(); }
  bool uses_labels() const override { return false; }
  double units(const Batch& batch) const override { return match_->units(batch); }

  Part eval(const TermInput& in) const override {
    const auto [pred, target] = residual_(in.signals[0], in);
    Signals compared{{pred}, {stop_gradient(target)}};
    compared.insert(compared.end(), in.signals.begin() + 1, in.signals.end());
    return match_->eval({in.batch, compared, in.clock, in.states, in.schedule});
  }

 private:
  std::function<std::pair<Tensor, Tensor>(const Tensors& read, const TermInput& in)> residual_;
  std::vector<Read> reads_;
  std::unique_ptr<Term> match_;
};

constexpr const char *kFrom = "z", *kTarget = "target", *kVelocity = "velocity";

/// A term being parsed.
struct Building {
  FlowMapSpec& spec;
  Config& term;
  const NumberMap& numbers;
  const NoiseSchedule& schedule;
  Read target;  ///< whom targets ask

  StatePlan& plan() { return spec.match.plan; }
  void add(const std::string& name, const std::string& time, std::function<Tensor(const StateInput&)> value) {
    plan().states.push_back({name, time, std::move(value)});
  }
  bool has_time(const std::string& name) const {
    for (const NamedLaw& law : spec.match.plan.times)
      for (const std::string& own : law.law.names)
        if ((own.empty() ? law.name : own) == name) return true;
    return false;
  }
  void need(const std::string& time) {
    if (!has_time(time)) term.fail(fmt::format("the residual needs a time {}", time));
  }
};

/// {role, cond, guide}: whom a step or a velocity asks.
Read asked(Building& b, Config& node) {
  Read read;
  read.role = node.get("role", "teacher");
  read.cond = node.get("cond", b.spec.pred.cond);
  if (node.has("guide")) {
    const Call scale = parse_call(node.child("guide"));
    const bool drawn = b.has_time(scale.name);
    read.guide = drawn ? Weight(1) : Weight::of(scale, b.numbers);
    if (drawn) read.guide_at = scale.name;
  }
  read.at = kFrom;
  return read;
}

bool is_data(Config& node) {
  if (!node.is_scalar()) return false;
  if (node.as<std::string>() != "data") node.fail("expected data, or {role, ..}");
  return true;
}

/// The state at `time` on the path through z: the same noise on the same data, or a step of a role's.
void add_step(Building& b, const std::string& name, const std::string& time) {
  Config& node = b.term.child("step");
  if (is_data(node))
    return b.plan().states.push_back(make_state(name, parse_call("renoise(x " + time + ")", node.where()), b.numbers));
  const Call by = parse_call(node.child("by"));
  Read read = asked(b, node);
  if (by.name == "jump") {
    read.to = time;
    return b.add(name, time, [=](const StateInput& in) {
      return in.ask(read, stop_gradient(in.states.at(kFrom)), in.states.at("t"), in.states.at(time));
    });
  }
  const Step step = make_step(by);
  std::vector<std::string> noises;
  if (step.stochastic) noises = node.get<std::vector<std::string>>("noise");
  for (const std::string& noise : noises)
    if (!b.plan().find(noise)) node.child("noise").fail(fmt::format("there is no state {}", noise));
  b.add(name, time, [=](const StateInput& in) {
    const Predictor net{Space::x0, [&](const Tensor& x, const Tensor& t) { return in.ask(read, x, t); }};
    const StepNoise noise = [&](const Tensor&, int draw) {
      if (draw >= static_cast<int>(noises.size()))
        throw ConfigError("step: it draws noise {} times; `noise` names {} states", draw + 1, noises.size());
      return in.states.at(noises[static_cast<std::size_t>(draw)]);
    };
    return stop_gradient(
        step.run(net, stop_gradient(in.states.at(kFrom)), in.states.at("t"), in.states.at(time), in.schedule, noise));
  });
}

/// Where the target's jump from a state goes.
void add_jump(Building& b, const std::string& name, const std::string& from, const std::string& t,
              const std::string& s) {
  Read read = b.target;
  read.at = from;
  read.to = s;
  b.add(name, s, [=](const StateInput& in) {
    return in.ask(read, stop_gradient(in.states.at(from)), in.states.at(t), in.states.at(s));
  });
}

/// dx/dt at a state.
void add_velocity(Building& b, const std::string& at, const std::string& time) {
  Config& node = b.term.child("velocity");
  if (is_data(node)) {
    if (at != kFrom) node.fail("the velocity where a jump lands is a role's");
    return b.plan().states.push_back(make_state(kVelocity, parse_call("compose(dxdt x t)", node.where()), b.numbers));
  }
  Read read = asked(b, node);
  read.at = at;
  b.add(kVelocity, time, [=](const StateInput& in) {
    const Tensor x = stop_gradient(in.states.at(at)), &t = in.states.at(time);
    return convert(Space::x0, Space::dxdt, in.ask(read, x, t), x, t, in.schedule);
  });
}

/// The prediction is the read; the target a state, in `space` what a jump there is made of.
void compare_jumps(Building& b) {
  b.spec.pred.to = "s";
  if (b.term.has("finally")) {
    Config& node = b.term.child("finally");
    b.spec.pred.through = node.get<std::string>("role");
    b.spec.pred.finally = node.get<std::string>("time");
    b.need(b.spec.pred.finally);
    Read read = b.target;
    read.role = b.spec.pred.through;
    read.at = kTarget;
    read.to = b.spec.pred.finally;
    b.add("final", read.to, [read](const StateInput& in) {
      return in.ask(read, in.states.at(kTarget), in.states.at("s"), in.states.at(read.to));
    });
    b.spec.residual = [](const Tensors& read, const TermInput& in) {
      return std::pair{read[0], in.states.at("final")};
    };
    return;
  }
  if (!b.term.has("space")) {
    b.spec.residual = [](const Tensors& read, const TermInput& in) {
      return std::pair{read[0], in.states.at(kTarget)};
    };
    return;
  }
  const Space space = make_space(parse_call(b.term.child("space")));
  b.spec.pred.space = space;
  b.spec.residual = [space](const Tensors& read, const TermInput& in) {
    const Tensor x = stop_gradient(in.states.at(kFrom)), &t = in.states.at("t");
    const Tensor clean = clean_of_jump(in.states.at(kTarget), x, t, in.states.at("s"), *in.schedule);
    return std::pair{read[0], convert(Space::x0, space, clean, x, t, *in.schedule)};
  };
}

void endpoint(Building& b) {
  add_step(b, kTarget, "s");
  compare_jumps(b);
}

void two_point(Building& b) {
  b.need("u");
  b.spec.match.weight_end = "u";
  add_step(b, "zu", "u");
  add_jump(b, kTarget, "zu", "u", "s");
  compare_jumps(b);
}

void semigroup(Building& b) {
  b.need("m");
  add_jump(b, "zm", kFrom, "t", "m");
  add_jump(b, kTarget, "zm", "m", "s");
  compare_jumps(b);
}

/// none, or g / (|g| + c) with the length over a sample or that over the root of its size.
std::function<Tensor(const Tensor&)> parse_norm(Config& node) {
  const Call call = parse_call(node);
  if (call.name == "none") return [](const Tensor& g) { return g; };
  if (call.name != "unit" && call.name != "rms") fail_lookup(call, "norm of tangents", {"none", "unit", "rms"});
  CallArgs args(call);
  const double c = args.number("c", {.min = 0});
  args.done();
  return [c, rms = call.name == "rms"](const Tensor& g) {
    const Tensor squares = square(rows(g));
    const Tensor length = sqrt(rms ? mean(squares, {1}) : sum(squares, {1}));
    return g / per_sample(length + c, g);
  };
}

void eulerian(Building& b) {
  using Kind = NoiseSchedule::Kind;
  const Kind kind = b.schedule.kind();
  if (kind != Kind::flow && kind != Kind::ve && kind != Kind::trig)
    b.term.child("residual").fail("eulerian is written on flow, ve and trig");
  add_velocity(b, kFrom, "t");
  Read& pred = b.spec.pred;
  pred.to = "s";
  pred.space = Space::dxdt;
  pred.rate = Read::Rate::path;
  pred.velocity = kVelocity;
  if (b.term.has("jvp")) {
    const Call call = parse_call(b.term.child("jvp"));
    if (call.name != "exact" && call.name != "difference") fail_lookup(call, "jvp", {"exact", "difference"});
    CallArgs args(call);
    if (call.name == "difference") pred.gap = args.number("h", {.above = 0});
    args.done();
  }
  Weight warmup(1);
  std::function<Tensor(const Tensor&)> norm = [](const Tensor& g) { return g; };
  if (b.term.has("tangent")) {
    Config& node = b.term.child("tangent");
    if (node.has("warmup")) warmup = Weight::parse(node.child("warmup"), b.numbers);
    if (node.has("norm")) norm = parse_norm(node.child("norm"));
  }
  b.spec.residual = [warmup, norm](const Tensors& read, const TermInput& in) {
    const Tensor g = eulerian_tangent(read[0], read[1], in.states.at(kVelocity), in.states.at(kFrom), in.states.at("t"),
                                      in.states.at("s"), *in.schedule, warmup.at(in.clock));
    const Tensor slope = read[0] / in.schedule->sigma_data();
    return std::pair{slope, stop_gradient(slope) + norm(g)};
  };
}

/// z less its velocity times t - u, and on by two jumps of the target, through m; the slope is pulled by the limited
/// quotient of where the two land apart.
void secant(Building& b) {
  using Kind = NoiseSchedule::Kind;
  if (b.schedule.kind() != Kind::flow && b.schedule.kind() != Kind::ve)
    b.term.child("residual").fail("secant is written on flow and ve");
  b.need("u");
  b.need("m");
  const double limit = b.term.get_real("limit", 1.0, {.above = 0});
  add_velocity(b, kFrom, "t");
  b.add("zu", "u", [](const StateInput& in) {
    const Tensor x = stop_gradient(in.states.at(kFrom));
    return x - per_sample(in.states.at("t") - in.states.at("u"), x) * in.states.at(kVelocity);
  });
  add_jump(b, "zm", "zu", "u", "m");
  add_jump(b, kTarget, "zm", "m", "s");
  b.spec.pred.to = "s";
  b.spec.pred.space = Space::dxdt;
  b.spec.residual = [limit](const Tensors& read, const TermInput& in) {
    const Tensor slope = stop_gradient(read[0]), x = stop_gradient(in.states.at(kFrom)), &t = in.states.at("t");
    const Tensor landed = x - per_sample(t - in.states.at("s"), x) * slope;
    const Tensor apart = (in.states.at(kTarget) - landed) / per_sample(t - in.states.at("u"), x);
    return std::pair{read[0], slope - clamp(apart, -limit, limit)};
  };
}

void lagrangian(Building& b) {
  add_jump(b, "landed", kFrom, "t", "s");
  add_velocity(b, "landed", "s");
  b.spec.pred.to = "s";
  b.spec.pred.rate = Read::Rate::end;
  b.spec.residual = [](const Tensors& read, const TermInput& in) {
    return std::pair{read[1], in.states.at(kVelocity)};
  };
}

/// `pair: grid(50)` or `pair: {t: .., s: ..}`.
void parse_pair(StatePlan& plan, Config& node, const NumberMap& numbers, const NoiseSchedule& schedule) {
  if (node.is_scalar()) {
    plan.times.push_back({"pair", make_time_law(parse_call(node), schedule, numbers)});
    return;
  }
  for (Config& t : node.items()) plan.times.push_back({t.key(), make_time_law(parse_call(t), schedule, numbers)});
}
}  // namespace

std::unique_ptr<Term> make_flow_map(FlowMapSpec spec) { return std::make_unique<FlowMap>(std::move(spec)); }

FlowMapSpec parse_flow_map(const std::string& name, Config& term, const NumberMap& numbers,
                           const NoiseSchedule* schedule) {
  static const std::map<std::string, void (*)(Building&), std::less<>> residuals{
      {"endpoint", endpoint}, {"two_point", two_point}, {"semigroup", semigroup},
      {"eulerian", eulerian}, {"secant", secant},       {"lagrangian", lagrangian}};
  if (!schedule) term.fail("no role has a schedule of noise");
  FlowMapSpec spec;
  spec.match.name = name;
  parse_pair(spec.match.plan, term.child("pair"), numbers, *schedule);
  StatePlan points = parse_plan(term, numbers, schedule);
  if (!points.find(kFrom))
    spec.match.plan.states.push_back(
        make_state(kFrom, Call{"renoise", {{"", Call{"x", {}, ""}}, {"", Call{"t", {}, ""}}}, term.where()}, numbers));
  for (State& s : points.states) spec.match.plan.states.push_back(std::move(s));
  spec.pred.role = term.get("pred", "student");
  spec.pred.at = kFrom;
  spec.pred.live = true;
  spec.pred.cond = term.get("cond", "given");
  Building b{spec, term, numbers, *schedule, spec.pred};
  if (const std::string target = term.get("target", "self"); target != "self") b.target.role = target;
  b.target.live = false;
  b.need("t");
  b.need("s");
  lookup(residuals, parse_call(term.child("residual")), "residual")(b);
  spec.match.pred = {spec.pred};
  spec.match.target = {Read{}};
  parse_comparison(spec.match, term, numbers);
  return spec;
}

}  // namespace retort
