#include "distill/train/answers.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/guidance.h"
#include "distill/diffusion/step.h"

namespace retort {

namespace {
/// The conditions that a read is asked under; guidance needs the null one too.
std::vector<std::string> conditions_of(const Read& r) {
  return r.guide ? std::vector<std::string>{"null", r.cond} : std::vector<std::string>{r.cond};
}

const std::vector<TapId>& inputs_of(const Read& r, const Role& role) {
  return r.from == Read::From::head ? role.heads.at(r.head).inputs : r.taps;
}

/// What the head that `r` reads is told of other roles; nothing for most.
std::vector<Read> told_by(const Read& r, const Role& role) {
  std::vector<Read> all;
  if (r.from != Read::From::head) return all;
  for (const Head::Told& told : role.heads.at(r.head).told) {
    Read& read = all.emplace_back();
    read.role = told.role;
    read.at = r.at;
    if (told.tap.path.empty()) continue;
    read.from = Read::From::taps;
    read.taps = {told.tap};
  }
  return all;
}
/// The role's input itself, `in` among the taps of a head.
bool is_input(const TapId& tap) { return tap.path.empty() && tap.port == "in"; }
bool is_output(const TapId& tap) { return tap.path.empty() && tap.port == "out"; }

/// Adds to what is wanted of a role the taps that a read needs.
void add_taps(Want& want, const std::vector<TapId>& taps) {
  for (const TapId& tap : taps) {
    if (is_output(tap))
      want.out = true;
    else if (!is_input(tap) && std::find(want.taps.begin(), want.taps.end(), tap) == want.taps.end())
      want.taps.push_back(tap);
  }
}

/// The named taps of a reply to `query`.
Tensors pick(const std::vector<TapId>& taps, const Query& query, const Want& want, const Reply& reply) {
  Tensors values;
  for (const TapId& tap : taps) {
    const auto at = std::find(want.taps.begin(), want.taps.end(), tap) - want.taps.begin();
    values.push_back(is_input(tap) ? query.x : is_output(tap) ? reply.out : reply.taps[static_cast<std::size_t>(at)]);
  }
  return values;
}
}  // namespace

void Answers::wish(const Term& term) {
  for (const Read& r : term.reads()) wish(r, &term);
}

Signals Answers::signals(const Term& term) {
  Signals signals;
  for (const Read& r : term.reads()) {
    Tensors values = get(r, &term);
    if (!r.live)
      for (Tensor& value : values) value = stop_gradient(value);
    signals.push_back(std::move(values));
  }
  return signals;
}

Tensors Answers::read(const Read& r) {
  Tensors values = get(r, nullptr);
  for (Tensor& value : values) value = stop_gradient(value);
  return values;
}

/// A trained role answers once, whoever is live; another has its input live only where a term's gradient flows.
Grad Answers::grad_of(const Read& r) const {
  if (trained_.contains(r.role) && !r.fixed) return Grad::Train;
  return r.live ? Grad::InputLive : Grad::None;
}

Answers::Place Answers::place(const Read& r, const Term* term, const std::string& cond) const {
  return {r.role, r.at == "x" ? nullptr : term, r.at, cond, grad_of(r)};
}

void Answers::wish(const Read& r, const Term* term) {
  if (r.from == Read::From::store || r.from == Read::From::state) return;
  const Role& role = roles_.at(r.role);
  for (const Read& told : told_by(r, role)) wish(told, term);
  if (r.slope || (r.from == Read::From::head && inputs_of(r, role).empty())) return;
  for (const std::string& cond : conditions_of(r)) {
    Want& want = wishes_.try_emplace(place(r, term, cond), Want{.out = false, .taps = {}}).first->second;
    want.out = want.out || r.from == Read::From::out;
    add_taps(want, inputs_of(r, role));
  }
}

Times Answers::draw(const std::vector<NamedLaw>& laws, const std::string& stream) const {
  Times known;
  for (const auto& [name, value] : batch_.more)
    if (value.rank() == 1) known[name] = value;
  const double progress = static_cast<double>(clock_.step) / static_cast<double>(clock_.steps);
  return draw_times(laws, pass_.rng, stream, pass_.step, batch_.sample, progress, DType::f64, known);
}

TensorMap Answers::make_states(const Term* term) {
  TensorMap known{{"x", batch_.x}};
  for (const auto& [name, value] : batch_.more) known[name] = value;
  if (!term || (term->plan().times.empty() && term->plan().states.empty())) return known;
  const StatePlan& plan = term->plan();
  const std::string stream = fmt::format("term/{}", term->name());
  const NoiseSchedule* schedule = schedule_of(*term, roles_);
  const bool meta = batch_.x.meta();
  if (!plan.times.empty()) {
    if (meta)
      for (const NamedLaw& law : plan.times)
        for (const std::string& name : law.law.names)
          known[name.empty() ? law.name : name] = Tensor::empty({batch_.size()}, DType::f64, batch_.x.device());
    else
      for (const auto& [name, t] : draw(plan.times, stream + "/times")) known[name] = t;
  }
  const auto noisy = [](const State& s) { return s.noisy; };
  if (!plan.times.empty() || std::any_of(plan.states.begin(), plan.states.end(), noisy))
    known["noise"] = meta ? Tensor::empty(batch_.x.shape(), batch_.x.dtype(), batch_.x.device())
                          : keyed_noise(pass_.rng, stream + "/noise", pass_.step, batch_.sample)(batch_.x, 0);
  const AskDenoiser asked = [&](const Read& r, const Tensor& x, const Tensor& t) { return ask(r, x, t); };
  const NoiseSchedule none = NoiseSchedule::ve();
  for (const State& s : plan.states)
    known[s.name] = s.value({known, batch_, pass_, schedule ? *schedule : none, asked});
  return known;
}

/// The labels of a condition: undefined for the null one.
Tensor Answers::label(const std::string& cond) const {
  if (cond == "null") return {};
  if (cond == "given") return batch_.y;
  return lookup(batch_.labels, Call{cond, {}, "cond"}, "condition of the source");
}

Tensor Answers::ask(const Read& r, const Tensor& x, const Tensor& t) {
  const Role& role = lookup(roles_, Call{r.role, {}, "points"}, "role");
  if (!role.diffusion) throw ConfigError("points: role {} is no denoiser: its model needs a schedule", r.role);
  Tensors answers;
  for (const std::string& cond : conditions_of(r)) {
    const Query query{x, t, label(cond), batch_.index, batch_.sample};
    const Tensor raw = role.net->eval(query, {}, r.live ? grad_of(r) : Grad::None, pass_).out;
    answers.push_back(role.diffusion->output.read(Space::x0, raw, x, t, role.diffusion->schedule));
  }
  const Tensor answer = r.guide ? guide(answers[0], answers[1], scalar_like(x, r.guide->at(clock_))) : answers[0];
  return r.live ? answer : stop_gradient(answer);
}

const TensorMap& Answers::states(const Term* term) {
  auto found = states_.find(term);
  if (found == states_.end()) found = states_.emplace(term, make_states(term)).first;
  return found->second;
}

TermInput Answers::input(const Term& term, const Signals& signals) {
  return {batch_, signals, clock_, states(&term), schedule_of(term, roles_)};
}

Query Answers::query(const Read& r, const Term* term, const std::string& cond) {
  const Role& role = roles_.at(r.role);
  const TensorMap& at = states(r.at == "x" ? nullptr : term);
  const State* state = term ? term->plan().find(r.at) : nullptr;
  Query query{at.at(r.at), {}, {}, batch_.index, batch_.sample};
  if (role.diffusion && state && !state->time.empty()) {
    query.t = at.at(state->time);
    query.label = label(cond);
  }
  return query;
}

const Reply& Answers::reply(const Read& r, const Term* term, const std::string& cond) {
  const Place where = place(r, term, cond);
  const auto found = replies_.find(where);
  if (found != replies_.end()) return found->second;
  const Net& net = *roles_.at(r.role).net;
  return replies_.emplace(where, net.eval(query(r, term, cond), wishes_.at(where), where.grad, pass_)).first->second;
}

/// A denoiser's answer in the read's space, guided.
Tensor Answers::prediction(const Read& r, const Term* term) {
  const Role& role = roles_.at(r.role);
  const auto one = [&](const std::string& cond) {
    const Tensor raw = reply(r, term, cond).out;
    if (!r.space) return raw;
    const TensorMap& at = states(r.at == "x" ? nullptr : term);
    const Tensor& t = at.at(term->plan().find(r.at)->time);
    const Tensor& x = at.at(r.at);
    return role.diffusion->output.read(*r.space, raw, r.live ? x : stop_gradient(x), t, role.diffusion->schedule);
  };
  if (!r.guide) return one(r.cond);
  return guide(one("null"), one(r.cond), scalar_like(batch_.x, r.guide->at(clock_)));
}

Tensors Answers::get(const Read& r, const Term* term) {
  if (r.from == Read::From::store) return stored(r);
  if (r.from == Read::From::state) return {states(term).at(r.at)};
  if (r.slope) return {slope(r, term)};
  if (r.from == Read::From::out) return {prediction(r, term)};
  if (r.from == Read::From::taps) return taps(r, term);
  Tensors& results = head_results_[{place(r, term, r.cond), r.head}];
  if (!results.empty()) return results;
  return results = head(r, term, inputs_of(r, roles_.at(r.role)).empty() ? Tensors() : taps(r, term));
}

/// A head's results on its inputs, to which what it is told of other roles is added.
Tensors Answers::head(const Read& r, const Term* term, Tensors inputs) {
  const Role& role = roles_.at(r.role);
  for (const Read& told : told_by(r, role)) inputs.push_back(cast(stop_gradient(get(told, term)[0]), role.compute));
  Ctx ctx = context_of(role, pass_, grad_of(r), batch_.sample);
  return role.heads.at(r.head).module->forward(inputs, ctx);
}

/// The gradient of an answer's sum in the state, by a tape of its own around the role: its weights and the state keep
/// what tapes they are on, so that the gradient is differentiable in both.
Tensor Answers::slope(const Read& r, const Term* term) {
  const Role& role = roles_.at(r.role);
  Tape tape;
  Query asked = query(r, term, r.cond);
  asked.x = tape.watch(r.live ? asked.x : stop_gradient(asked.x));
  Want want{.out = r.from == Read::From::out, .taps = {}};
  add_taps(want, inputs_of(r, role));
  const bool needs_role = want.out || !want.taps.empty();
  const Grad grad = grad_of(r) == Grad::Train ? Grad::Train : Grad::InputLive;
  const Reply answer = needs_role ? role.net->eval(asked, want, grad, pass_) : Reply();
  Tensors values{answer.out};
  if (r.from != Read::From::out) values = pick(inputs_of(r, role), asked, want, answer);
  if (r.from == Read::From::head) values = head(r, term, std::move(values));
  Tensor total;
  for (const Tensor& value : values) total = total.defined() ? total + sum(value) : sum(value);
  return tape.gradients(total, std::span(&asked.x, 1))[0];
}

Tensors Answers::stored(const Read& r) const {
  const Store& store = *stores_.at(r.role);
  Tensors values{store.get(batch_)};
  if (r.negatives > 0) values.push_back(store.negatives(batch_, r.negatives, pass_));
  return values;
}

/// The taps of a read, or what goes into its head.
Tensors Answers::taps(const Read& r, const Term* term) {
  const std::vector<TapId>& inputs = inputs_of(r, roles_.at(r.role));
  const Place where = place(r, term, r.cond);
  Query asked;
  asked.x = states(where.term).at(r.at);
  if (where.grad == Grad::None) asked.x = stop_gradient(asked.x);
  if (std::all_of(inputs.begin(), inputs.end(), is_input)) return pick(inputs, asked, {}, {});
  return pick(inputs, asked, wishes_.at(where), reply(r, term, r.cond));
}

const NoiseSchedule* schedule_of(const Term& term, const Roles& roles) {
  for (const Read& r : term.reads()) {
    const auto role = roles.find(r.role);
    if (role != roles.end() && role->second.diffusion && r.at != "x") return &role->second.diffusion->schedule;
  }
  return nullptr;
}

TensorMap joined(const std::vector<TensorMap>& parts) {
  TensorMap whole;
  for (const auto& [name, first] : parts[0]) {
    Tensors pieces;
    for (const TensorMap& part : parts) pieces.push_back(part.at(name));
    whole[name] = concat(pieces, 0);
  }
  return whole;
}

Batch joined(const std::vector<Batch>& parts) {
  if (parts.size() == 1) return parts[0];
  const auto join = [&](Tensor Batch::*field) {
    Tensors all;
    for (const Batch& b : parts) {
      if (!(b.*field).defined()) return Tensor();
      all.push_back(b.*field);
    }
    return concat(all, 0);
  };
  const auto join_map = [&](TensorMap Batch::*field) {
    std::vector<TensorMap> maps;
    for (const Batch& b : parts) maps.push_back(b.*field);
    return joined(maps);
  };
  return {join(&Batch::x),     join(&Batch::y),      join(&Batch::y2),         join(&Batch::lambda),
          join(&Batch::index), join(&Batch::sample), join_map(&Batch::labels), join_map(&Batch::more)};
}

}  // namespace retort
