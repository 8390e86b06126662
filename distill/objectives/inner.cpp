#include "distill/objectives/inner.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "distill/objectives/match.h"

namespace retort {

NetFunction::NetFunction(const Role& role, const Pass& pass, bool training, bool trained)
    : role_(role), pass_(pass), training_(training) {
  if (!role.model) throw ConfigError("role {}: an inner problem needs a network, not a table of answers", role.name);
  for (const NamedParameter& p : parameters_of(*role.model)) {
    parameters_.push_back(p.parameter);
    weights_.push_back(trained && p.parameter->trainable ? pass.leaves->of(*p.parameter, false) : p.parameter->value);
  }
}

Reply NetFunction::call(const Tensors& weights, const Tensor& x, const Want& want) const {
  ParamValues values;
  for (std::size_t i = 0; i < parameters_.size(); ++i) values.emplace(parameters_[i], weights[i]);
  Ctx ctx;
  ctx.training = training_;
  ctx.substitute = &values;
  ctx.rng = pass_.rng;
  ctx.step = pass_.step;
  ctx.wanted = want.taps;
  ctx.stop_after_taps = !want.out;
  Reply reply;
  reply.out = role_.model->forward(x, ctx);
  reply.taps = tapped(ctx, role_, want.taps);
  return reply;
}

Tensor NetFunction::logits(const Tensors& weights, const Tensor& x) const { return call(weights, x, {}).out; }

Tensors NetFunction::taps(const Tensors& weights, const Tensor& x, const std::vector<TapId>& wanted) const {
  return call(weights, x, {.out = false, .taps = wanted}).taps;
}

Tensor inner_loss(InnerLoss loss, const Tensor& logits, const Examples& data) {
  if (loss == InnerLoss::ce)
    return mean(data.target.defined() ? soft_cross_entropy(logits, data.target) : cross_entropy(logits, data.label));
  const Tensor target = data.target.defined() ? data.target : one_hot(data.label, logits.size(1), logits.dtype());
  return sum(square(logits - target)) * (0.5 / static_cast<double>(logits.size(0)));
}

Tensors inner_gradient(InnerLoss loss, const NetFunction& net, const Tensors& weights, const Examples& data) {
  Tape tape;
  Tensors leaves;
  for (const Tensor& w : weights) leaves.push_back(tape.watch(w));
  return tape.gradients(inner_loss(loss, net.logits(leaves, data.x), data), leaves);
}

std::vector<Tensor> rows_by_class(const Tensor& labels, std::int64_t classes) {
  std::vector<Tensor> rows;
  const std::int64_t n = labels.size(0);
  if (labels.meta()) {
    for (std::int64_t c = 0; c < classes; ++c)
      rows.push_back(Tensor::empty({std::max<std::int64_t>(1, n / classes)}, DType::i64, labels.device()));
    return rows;
  }
  std::vector<std::vector<std::int64_t>> of(static_cast<std::size_t>(classes));
  const auto values = labels.values<std::int64_t>();
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] >= 0) of.at(static_cast<std::size_t>(values[i])).push_back(static_cast<std::int64_t>(i));
  for (const auto& list : of) {
    Tensor chosen;
    if (!list.empty()) chosen = Tensor::of<std::int64_t>(list, {static_cast<std::int64_t>(list.size())});
    rows.push_back(chosen);
  }
  return rows;
}

namespace {
class Inner final : public Term {
 public:
  explicit Inner(InnerSpec spec) : spec_(std::move(spec)) {}
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return Scope::whole; }
  const std::vector<Read>& reads() const override { return none_; }
  const StatePlan& plan() const override { return plan_; }
  bool uses_labels() const override { return false; }
  double units(const Batch&) const override { return 1; }
  std::vector<std::string> asks() const override {
    std::vector<std::string> roles{spec_.set, spec_.net};
    roles.insert(roles.end(), spec_.goals.begin(), spec_.goals.end());
    if (!spec_.start.empty()) roles.push_back(spec_.start);
    if (!spec_.statistic.role.empty()) roles.push_back(spec_.statistic.role);
    return roles;
  }

  Part eval(const TermInput& in) const override {
    const Role& owner = in.roles->at(spec_.set);
    const auto* set = dynamic_cast<const PixelSet*>(owner.model.get());
    if (!set) throw ConfigError("term {}: role {} is no synthetic set; give it net: pixels(..)", spec_.name, spec_.set);
    Pass& pass = *in.pass;
    const Grad grad = moves(in, spec_.set) ? Grad::Train : Grad::None;
    const auto rows = [&owner, &pass, grad, set](const Tensor& slots) {
      Ctx ctx = context_of(owner, pass, grad, {});
      return set->rows(slots, ctx);
    };
    Ctx ctx = context_of(owner, pass, grad, {});
    const Tensor rate = set->lr.value.defined() ? ctx(set->lr) : Tensor();
    const auto problem = std::make_shared<const InnerProblem>(
        InnerProblem{NetFunction(in.roles->at(spec_.net), pass, spec_.statistic.training, moves(in, spec_.net)), *set,
                     rows, rate, spec_.loss, spec_.view ? &*spec_.view : nullptr, "term/" + spec_.name, pass, in.clock,
                     std::max<std::size_t>(1, spec_.goals.size())});
    const InnerSolution solution = spec_.solver(problem);
    std::vector<Tensors> goals;
    for (const std::string& goal : spec_.goals) goals.push_back(NetFunction(in.roles->at(goal), pass, false).weights());
    const std::string& from = spec_.start.empty() ? spec_.net : spec_.start;
    const Tensors start = NetFunction(in.roles->at(from), pass, false).weights();
    const Examples real{in.batch.x, in.batch.y, {}};
    const std::function<Tensor(const std::string&)> answer = [&](const std::string& role) {
      const Query query{in.batch.x, {}, {}, in.batch.index, in.batch.sample};
      return stop_gradient(in.roles->at(role).net->eval(query, {}, Grad::None, pass).out);
    };
    Part part;
    for (const InnerPairs& group : spec_.statistic.groups({*problem, solution, real, start, goals, answer})) {
      const Tensor value = spec_.distance(group);
      part.total = part.total.defined() ? part.total + value : value;
    }
    if (!part.total.defined()) throw ConfigError("term {}: set and batch have no class in common", spec_.name);
    if (solution.finish) part.total = solution.finish(part.total);
    part.shown = stop_gradient(part.total);
    return part;
  }

 private:
  static bool moves(const TermInput& in, const std::string& role) { return in.trained && in.trained->contains(role); }

  InnerSpec spec_;
  std::vector<Read> none_;
  StatePlan plan_;
};
}  // namespace

Dsa parse_dsa(const Call& call) {
  if (call.name != "dsa") fail_lookup(call, "view", {"dsa", "none"});
  CallArgs args(call);
  Dsa dsa;
  const Call who{args.word("whose", "siamese"), {}, call.where};
  dsa.siamese = lookup(std::map<std::string, bool>{{"siamese", true}, {"own", false}}, who, "kind of draw");
  dsa.ops = Dsa::parse(args.word("ops", "color_crop_cutout_flip_scale_rotate"), call.where);
  args.done();
  return dsa;
}

std::unique_ptr<Term> make_inner(InnerSpec spec) { return std::make_unique<Inner>(std::move(spec)); }

InnerSpec parse_inner(const std::string& name, Config& term, const NumberMap& numbers) {
  InnerSpec s;
  s.name = name;
  s.set = term.get<std::string>("set");
  s.net = term.get<std::string>("net");
  s.start = term.get("start", "");
  if (term.has("goal")) {
    if (term.child("goal").is_list())
      s.goals = term.get<std::vector<std::string>>("goal");
    else
      s.goals = {term.get<std::string>("goal")};
  }
  s.loss = term.get_choice("loss", {"ce", "sq"}, "ce") == "ce" ? InnerLoss::ce : InnerLoss::sq;
  if (term.has("view") && !term.child("view").is_null()) {
    const Call call = parse_call(term.child("view"));
    if (call.name != "none") s.view = parse_dsa(call);
  }
  s.statistic = make_inner_statistic(parse_call(term.child("statistic")), numbers);
  s.solver = make_inner_solver(parse_call(term.child("solver")), s.set, numbers);
  s.distance = make_inner_distance(parse_call(term.child("distance")), numbers);
  term.get_choice("reduce", {"sum/batch"}, "sum/batch");
  return s;
}

}  // namespace retort
