#include "distill/objectives/match.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
class Match final : public Term {
 public:
  explicit Match(MatchSpec spec) : spec_(std::move(spec)), reads_(spec_.pred) {
    reads_.insert(reads_.end(), spec_.target.begin(), spec_.target.end());
    if (spec_.log_variance) reads_.push_back(*spec_.log_variance);
  }
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return spec_.scope; }
  const std::vector<Read>& reads() const override { return reads_; }
  const StatePlan& plan() const override { return spec_.plan; }
  bool uses_labels() const override { return spec_.d.labels; }

  double units(const Batch& batch) const override {
    if (spec_.scope == Scope::batch) return 1.0;
    if (!spec_.d.labels) return static_cast<double>(batch.size());
    if (batch.y.meta()) return static_cast<double>(batch.size());
    double labelled = 0;
    for (const std::int64_t label : to(batch.y, kCpu).values<std::int64_t>()) labelled += label >= 0;
    return labelled;
  }

  Part eval(const TermInput& in) const override {
    Comparison c;
    c.batch = in.batch;
    c.T_pred = spec_.T_pred;
    c.T_target = spec_.T_target;
    c.clock = in.clock;
    const auto targets = in.signals.begin() + static_cast<std::ptrdiff_t>(spec_.pred.size());
    for (auto s = in.signals.begin(); s != targets; ++s) c.preds.insert(c.preds.end(), s->begin(), s->end());
    c.preds = spec_.relate(c.preds);
    const auto end_of_targets = targets + static_cast<std::ptrdiff_t>(spec_.target.size());
    if (!spec_.target.empty()) c.targets = target(std::vector<Tensors>(targets, end_of_targets), c);
    Tensor time_weight;
    if (spec_.time_weight) {
      const State* state = spec_.plan.find(spec_.pred[0].at);
      const std::string& end = spec_.weight_end.empty() ? spec_.pred[0].to : spec_.weight_end;
      time_weight =
          spec_.time_weight({in.states.at(state->time), end.empty() ? Tensor() : in.states.at(end), *in.schedule});
    }
    if (!spec_.importance.empty()) {
      const Tensor importance = stop_gradient(in.states.at(spec_.importance));
      time_weight = time_weight.defined() ? time_weight * cast(on_host(importance), time_weight.dtype()) : importance;
    }
    return value(c, time_weight, spec_.log_variance ? reshape(in.signals.back()[0], {-1}) : Tensor());
  }

 private:
  Tensors target(const std::vector<Tensors>& read, const Comparison& c) const {
    Tensors preds;
    for (const Tensor& p : c.preds) preds.push_back(stop_gradient(p));
    return spec_.relate_target(spec_.map({read, preds, c.batch, spec_.T_target, c.clock}));
  }

  Part value(Comparison& c, const Tensor& time_weight, const Tensor& log_variance) const {
    Part part;
    const std::size_t pairs = spec_.d.lists ? 1 : c.preds.size();
    if (!spec_.d.lists && !spec_.target.empty() && c.targets.size() != pairs)
      throw ShapeError("term {}: {} predictions are compared with {} targets", spec_.name, pairs, c.targets.size());
    if (!spec_.pairs.empty() && spec_.pairs.size() != pairs)
      throw ShapeError("term {}: {} weights for {} pairs", spec_.name, spec_.pairs.size(), pairs);
    for (std::size_t i = 0; i < pairs; ++i) {
      c.pred = c.preds[i];
      if (!c.targets.empty()) c.target = c.targets[i];
      add(part, c, time_weight, log_variance, spec_.pairs.empty() ? 1.0 : spec_.pairs[i]);
    }
    return part;
  }

  void add(Part& part, const Comparison& c, const Tensor& time_weight, const Tensor& log_variance, double share) const {
    if (!spec_.d.lists && c.target.defined() && !(c.target.shape() == c.pred.shape()))
      throw ShapeError(
          "term {}: prediction and target differ in shape; got {} and {}; hint: a head maps one to the "
          "other",
          spec_.name, c.pred.str(), c.target.str());
    double scale = spec_.T2 ? share * spec_.T_pred * spec_.T_target : share;
    scale /= divisor(c.pred);
    const Tensor weight = spec_.weight ? stop_gradient(spec_.weight(c)) : Tensor();
    const auto summed = [&](Tensor value) {
      if (weight.defined()) value = weight * value;
      if (time_weight.defined()) value = constant_on(cast(time_weight, value.dtype()), value.device()) * value;
      if (!log_variance.defined()) return sum(value) * scale;
      const Tensor w = cast(log_variance, value.dtype());
      return sum(exp(-w) * (value * scale) + w);
    };
    const Tensor total = summed(spec_.d.value(c));
    Tensor shown = stop_gradient(total);
    if (spec_.d.floor) shown = shown - summed(stop_gradient(spec_.d.floor(c)));
    part.total = part.total.defined() ? part.total + total : total;
    part.shown = part.shown.defined() ? part.shown + shown : shown;
  }

  double divisor(const Tensor& pred) const {
    const auto rows = static_cast<double>(pred.shape()[0]), elements = static_cast<double>(pred.numel()) / rows;
    double by = spec_.per_row ? rows : 1;
    if (spec_.within == MatchSpec::Within::mean) by *= elements;
    if (spec_.within == MatchSpec::Within::tokmean) by *= elements / static_cast<double>(pred.size(-1));
    return by;
  }

  MatchSpec spec_;
  std::vector<Read> reads_;
};

void parse_temperatures(MatchSpec& s, Config& term) {
  if (term.has("T")) {
    const auto T = term.get<std::vector<double>>("T");
    if (T.size() != 2 || T[0] <= 0 || T[1] <= 0) term.child("T").fail("expected [prediction, target], both positive");
    if (!s.d.logits) term.child("T").fail("this discrepancy takes no temperature");
    s.T_pred = T[0];
    s.T_target = T[1];
    const bool tempered = T[0] != 1 || T[1] != 1;
    if (tempered && !term.has("T2")) term.fail("T2 must be written (true or false) when T is not 1");
  }
  s.T2 = term.get("T2", false);
}

void parse_reduce(MatchSpec& s, Config& term) {
  for (const Scope part : {s.d.scope, s.relate.scope, s.relate_target.scope})
    if (part == Scope::batch) s.scope = Scope::batch;
  std::vector<std::string> choices{"sum/sample", "mean/sample", "tokmean/sample"};
  if (s.scope == Scope::batch) choices.push_back("sum/batch");
  const std::string reduce = term.get_choice("reduce", choices);
  using Within = MatchSpec::Within;
  s.within = reduce.starts_with("mean") ? Within::mean : reduce.starts_with("tok") ? Within::tokmean : Within::sum;
  s.per_row = s.scope == Scope::batch && reduce.ends_with("/sample");
}
}  // namespace

std::string Read::str() const {
  if (from == From::state) return at;
  std::string text = cond == "given" ? role : fmt::format("{}({})", role, cond);
  if (from == From::head) text += "." + head;
  if (from == From::log_prob) text += ".log_prob";
  for (std::size_t i = 0; i < taps.size(); ++i)
    text += (i == 0 ? "." : "+") + taps[i].path + (taps[i].port == "out" ? "" : ":" + taps[i].port);
  if (slope) text += ".slope";
  if (at != "x") text += "@" + at;
  if (!to.empty()) text += ">" + to;
  if (!through.empty()) text += "+" + through + ">" + finally;
  return text;
}

std::unique_ptr<Term> make_match(MatchSpec spec) { return std::make_unique<Match>(std::move(spec)); }

TapId parse_tap(const std::string& text) {
  const auto colon = text.find(':');
  return colon == std::string::npos ? TapId{text} : TapId{text.substr(0, colon), text.substr(colon + 1)};
}

Read parse_read(Config& node, const NumberMap& numbers, const StatePlan& plan) {
  Read r;
  if (node.is_scalar()) {
    r.role = node.as<std::string>();
    if (r.role == "x" || r.role == "noise" || plan.find(r.role)) {
      r.from = Read::From::state;
      r.at = r.role;
      return r;
    }
    if (const auto at = r.role.find('@'); at != std::string::npos) {
      r.at = r.role.substr(at + 1);
      r.role.erase(at);
      if (const auto to = r.at.find('>'); to != std::string::npos) {
        r.to = r.at.substr(to + 1);
        r.at.erase(to);
      }
    }
    if (const auto cond = r.role.find('('); cond != std::string::npos && r.role.ends_with(")")) {
      r.cond = r.role.substr(cond + 1, r.role.size() - cond - 2);
      r.role.erase(cond);
    }
    return r;
  }
  if (node.has("state")) {
    r.from = Read::From::state;
    r.at = node.get<std::string>("state");
    return r;
  }
  if (node.has("store")) {
    r.from = Read::From::store;
    r.role = node.get<std::string>("store");
    r.negatives = node.get_int("negatives", 0, {.min = 0});
    return r;
  }
  r.role = node.get<std::string>("role");
  r.at = node.get("at", "x");
  if (node.has("head")) {
    r.from = Read::From::head;
    r.head = node.get<std::string>("head");
  } else if (node.has("tap")) {
    r.from = Read::From::taps;
    if (node.child("tap").is_list())
      for (const auto& tap : node.get<std::vector<std::string>>("tap")) r.taps.push_back(parse_tap(tap));
    else
      r.taps.push_back(parse_tap(node.get<std::string>("tap")));
    if (r.taps.empty()) node.child("tap").fail("name at least one tap");
  } else {
    const std::string out = node.get_choice("out", {"logits", "out", "x0", "eps", "v", "score", "dxdt"}, "out");
    if (out != "logits" && out != "out") r.space = make_space(Call{out, {}, node.where()});
  }
  r.to = node.get("to", "");
  r.cond = node.get("cond", "given");
  if (node.has("guide")) r.guide = Weight::of(parse_call(node.child("guide")), numbers);
  r.fixed = node.has("grad") && node.get_choice("grad", {"input"}) == "input";
  r.slope = node.has("slope") && node.get<bool>("slope");
  r.live = node.has("live") ? node.get<bool>("live") : r.fixed;
  return r;
}

std::vector<Read> parse_reads(Config& node, const NumberMap& numbers, const StatePlan& plan, bool prediction) {
  std::vector<Read> reads;
  const auto add = [&](Config& c) {
    reads.push_back(parse_read(c, numbers, plan));
    if (prediction) reads.back().live = c.is_scalar() || c.get("live", true);
  };
  if (node.is_list())
    for (Config& c : node.items()) add(c);
  else
    add(node);
  return reads;
}

StatePlan parse_plan(Config& term, const NumberMap& numbers, const NoiseSchedule* schedule) {
  StatePlan plan;
  if (term.has("times") && !term.child("times").is_null()) {
    if (!schedule) term.child("times").fail("no role of this term has a schedule of noise");
    for (Config& t : term.child("times").items())
      plan.times.push_back({t.key(), make_time_law(parse_call(t), *schedule, numbers)});
  }
  if (term.has("points"))
    for (Config& p : term.child("points").items()) plan.states.push_back(make_state(p.key(), parse_call(p), numbers));
  return plan;
}

const State* StatePlan::find(const std::string& name) const {
  for (const State& s : states)
    if (s.name == name) return &s;
  return nullptr;
}

MatchSpec parse_match(const std::string& name, Config& term, const NumberMap& numbers, const NoiseSchedule* schedule) {
  MatchSpec s;
  s.name = name;
  s.plan = parse_plan(term, numbers, schedule);
  s.pred = parse_reads(term.child("pred"), numbers, s.plan, true);
  Config& target = term.child("target");
  if (!(target.is_scalar() && target.as<std::string>() == "label"))
    s.target = parse_reads(target, numbers, s.plan, false);
  parse_comparison(s, term, numbers);
  return s;
}

void parse_comparison(MatchSpec& s, Config& term, const NumberMap& numbers) {
  s.d = make_discrepancy(parse_call(term.child("d")), numbers);
  Config& target = term.has("target") ? term.child("target") : term;
  if (s.d.labels && !s.target.empty()) target.fail("this discrepancy compares with labels; write target: label");
  if (!s.d.labels && s.target.empty()) target.fail("this discrepancy needs a read of a role, not labels");
  const Relation same{[](const Tensors& list) { return list; }};
  s.relate = term.has("relate") ? parse_relation(term.child("relate"), numbers) : same;
  s.relate_target = term.has("relate_target") ? parse_relation(term.child("relate_target"), numbers) : s.relate;
  if (s.target.size() > 1 && !term.has("map")) term.fail("several targets need a `map` that makes one of them");
  s.map = make_target_map(term.has("map") ? parse_call(term.child("map")) : Call{"first", {}, term.where()}, numbers);
  if (term.has("weight")) {
    const State* state = s.plan.find(s.pred[0].at);
    if (state && !state->time.empty())
      s.time_weight = make_weight(parse_call(term.child("weight")));
    else
      s.weight = make_unit_weight(parse_call(term.child("weight")), numbers);
  }
  if (term.has("log_variance")) {
    s.log_variance = parse_read(term.child("log_variance"), numbers, s.plan);
    s.log_variance->live = true;
    if (s.d.scope == Scope::batch || s.d.floor || s.pred.size() != 1)
      term.child("log_variance").fail("it is of one distance per sample");
  }
  if (term.has("importance")) {
    s.importance = term.get<std::string>("importance");
    if (!s.plan.find(s.importance)) term.child("importance").fail("expected one of the term's points, a number");
  }
  if (term.has("pairs")) s.pairs = term.get<std::vector<double>>("pairs");
  parse_temperatures(s, term);
  parse_reduce(s, term);
}

}  // namespace retort
