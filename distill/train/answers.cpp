#include "distill/train/answers.h"

#include <algorithm>

#include "autograd/jvp.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/guidance.h"
#include "distill/diffusion/step.h"
#include "distill/text/token_batch.h"
#include "nn/decoder.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// The conditions that a read is asked under; guidance needs the null one too.
std::vector<std::string> conditions_of(const Read& r) {
  return r.guide ? std::vector<std::string>{"null", r.cond} : std::vector<std::string>{r.cond};
}

const std::vector<TapId>& inputs_of(const Read& r, const Role& role) {
  return r.from == Read::From::head ? role.heads.at(r.head).inputs : r.taps;
}

/// Its hidden states and output matrix can be had apart.
bool is_decoder(const Role& role) {
  return role.answer.empty() && dynamic_cast<const Decoder*>(role.model.get()) != nullptr;
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
  return {r.role, r.at == "x" ? nullptr : term, r.at, cond, r.to, grad_of(r)};
}

void Answers::wish(const Read& r, const Term* term) {
  if (r.from == Read::From::store || r.from == Read::From::state || r.rate != Read::Rate::none) return;
  const Role& role = roles_.at(r.role);
  for (const Read& told : told_by(r, role)) wish(told, term);
  if (r.slope || (r.from == Read::From::head && inputs_of(r, role).empty())) return;
  for (const std::string& cond : conditions_of(r)) {
    Want& want = wishes_.try_emplace(place(r, term, cond), Want{.out = false, .taps = {}}).first->second;
    const bool text = r.from == Read::From::apart || r.from == Read::From::log_prob;
    const bool apart = text && is_decoder(role);
    want.states = want.states || apart;
    want.out = want.out || r.from == Read::From::out || (text && !apart);
    add_taps(want, inputs_of(r, role));
  }
}

Times Answers::draw(const std::vector<NamedLaw>& laws, const std::string& stream) const {
  Times known;
  for (const auto& [name, value] : batch_.more)
    if (value.rank() == 1) known[name] = value;
  return draw_times(laws, pass_.rng, stream, pass_.step, batch_.sample, clock_, DType::f64, known);
}

TensorMap Answers::make_states(const Term* term) {
  TensorMap known{{"x", batch_.x}};
  for (const auto& [name, value] : batch_.more) known[name] = value;
  if (!term || (term->plan().times.empty() && term->plan().states.empty())) return known;
  const StatePlan& plan = term->plan();
  const std::string stream = fmt::format("term/{}", term->name());
  const NoiseSchedule* schedule = schedule_of(*term, roles_);
  const bool meta = batch_.x.meta();
  std::vector<NamedLaw> laws;  // but for times that the batch came with
  for (const NamedLaw& law : plan.times) {
    const auto given = [&](const std::string& name) { return known.contains(name.empty() ? law.name : name); };
    if (!std::all_of(law.law.names.begin(), law.law.names.end(), given)) laws.push_back(law);
  }
  if (meta)
    for (const NamedLaw& law : laws)
      for (const std::string& name : law.law.names)
        known[name.empty() ? law.name : name] = Tensor::empty({batch_.size()}, DType::f64, batch_.x.device());
  else if (!laws.empty())
    for (const auto& [name, t] : draw(laws, stream + "/times")) known[name] = t;
  const auto noisy = [](const State& s) { return s.noisy; };
  const bool wants_noise = !plan.times.empty() || std::any_of(plan.states.begin(), plan.states.end(), noisy);
  if (wants_noise && !known.contains("noise"))
    known["noise"] = meta ? Tensor::empty(batch_.x.shape(), batch_.x.dtype(), batch_.x.device())
                          : keyed_noise(pass_.rng, stream + "/noise", pass_.step, batch_.sample)(batch_.x, 0);
  const AskDenoiser asked{
      [&](const Read& r, const Tensor& x, const Tensor& t, const Tensor& s) { return ask(r, x, t, s, known); }};
  const NoiseSchedule none = NoiseSchedule::ve();
  for (const State& s : plan.states)
    if (!known.contains(s.name))  // but for states that the batch came with
      known[s.name] = s.value({known, batch_, pass_, schedule ? *schedule : none, asked, clock_});
  return known;
}

/// The labels of a condition: undefined for the null one.
Tensor Answers::label(const std::string& cond) const {
  if (cond == "null") return {};
  if (cond == "given") return batch_.y;
  return lookup(batch_.labels, Call{cond, {}, "cond"}, "condition of the source");
}

Tensor Answers::ask(const Read& r, const Tensor& x, const Tensor& t, const Tensor& s, const TensorMap& known) {
  const Role& role = lookup(roles_, Call{r.role, {}, "points"}, "role");
  if (!role.diffusion) throw ConfigError("points: role {} is no denoiser: its model needs a schedule", r.role);
  Tensors answers;
  for (const std::string& cond : conditions_of(r)) {
    const Query query{x, t, label(cond), batch_.index, batch_.sample, s, s.defined()};
    const Tensor raw = role.net->eval(query, {}, r.live ? grad_of(r) : Grad::None, pass_).out;
    answers.push_back(role.diffusion->output.read(Space::x0, raw, x, t, role.diffusion->schedule));
  }
  Tensor x0 = answers[0];
  if (r.guide) {
    Tensor scale = scalar_like(x, r.guide->at(clock_));
    if (!r.guide_at.empty()) scale = scale * constant_on(cast(known.at(r.guide_at), x.dtype()), x.device());
    x0 = guide(answers[0], answers[1], scale);
  }
  if (s.defined() && !r.space) x0 = role.diffusion->boundary.jump(x0, x, t, s, role.diffusion->schedule);
  return r.live ? x0 : stop_gradient(x0);
}

const TensorMap& Answers::states(const Term* term) {
  auto found = states_.find(term);
  if (found == states_.end()) found = states_.emplace(term, make_states(term)).first;
  return found->second;
}

TermInput Answers::input(const Term& term, const Signals& signals) {
  return {batch_, signals, clock_, states(&term), schedule_of(term, roles_), &roles_, &pass_, &trained_};
}

Query Answers::query(const Read& r, const Term* term, const std::string& cond) {
  const Role& role = roles_.at(r.role);
  const TensorMap& at = states(r.at == "x" ? nullptr : term);
  const State* state = term ? term->plan().find(r.at) : nullptr;
  Query query{at.at(r.at), {}, {}, batch_.index, batch_.sample};
  if (role.diffusion && state && !state->time.empty()) {
    query.t = at.at(state->time);
    query.label = label(cond);
    if (!r.to.empty()) query.s = at.at(r.to);
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

/// A denoiser's answer in the read's space, guided, or where its jump lands.
Tensor Answers::prediction(const Read& r, const Term* term) {
  const Role& role = roles_.at(r.role);
  const bool jumps = !r.to.empty() && !r.space;
  if (!r.space && !jumps && !r.guide) return reply(r, term, r.cond).out;
  const TensorMap& at = states(r.at == "x" ? nullptr : term);
  const State* state = term ? term->plan().find(r.at) : nullptr;
  const Tensor x = r.live ? at.at(r.at) : stop_gradient(at.at(r.at));
  const auto one = [&](const std::string& cond) {
    const Tensor raw = reply(r, term, cond).out;
    if (!r.space && !jumps) return raw;
    return role.diffusion->output.read(r.space.value_or(Space::x0), raw, x, at.at(state->time),
                                       role.diffusion->schedule);
  };
  const Tensor value =
      r.guide ? guide(one("null"), one(r.cond), scalar_like(batch_.x, r.guide->at(clock_))) : one(r.cond);
  if (!jumps) return value;
  const Tensor landed =
      role.diffusion->boundary.jump(value, x, at.at(state->time), at.at(r.to), role.diffusion->schedule);
  return r.through.empty() ? landed : carried(r, at, landed);
}

/// A jump taken on by another role through fixed weights; the gradient flows through.
Tensor Answers::carried(const Read& r, const TensorMap& at, const Tensor& x) {
  const Role& role = roles_.at(r.through);
  const Diffusion& d = *role.diffusion;
  const Tensor &t = at.at(r.to), &s = at.at(r.finally);
  const Query query{x, t, label(r.cond), batch_.index, batch_.sample, s, true};
  const Tensor raw = role.net->eval(query, {}, Grad::InputLive, pass_).out;
  return d.boundary.jump(d.output.read(Space::x0, raw, x, t, d.schedule), x, t, s, d.schedule);
}

/// A read with its derivative: {value, rate}.
Tensors Answers::rated(const Read& r, const Term* term) {
  const Role& role = roles_.at(r.role);
  const Diffusion& d = *role.diffusion;
  const TensorMap& at = states(term);
  const Tensor x = stop_gradient(at.at(r.at)), &t = at.at(term->plan().find(r.at)->time), &s = at.at(r.to);
  const Grad grad = trained_.contains(r.role) ? Grad::Train : Grad::InputLive;
  const auto value = [&](const Tensor& x_at, const Tensor& t_at, const Tensor& s_at, Grad how) {
    const Query query{x_at, t_at, label(r.cond), batch_.index, batch_.sample, s_at, true};
    const Tensor raw = role.net->eval(query, {}, how, pass_).out;
    const Tensor answer = d.output.read(r.space.value_or(Space::x0), raw, x_at, t_at, d.schedule);
    return r.space ? answer : d.boundary.jump(answer, x_at, t_at, s_at, d.schedule);
  };
  if (r.rate == Read::Rate::end) {
    const auto in_s = [&](const Tensor& s_at) { return value(x, t, s_at, grad); };
    const auto [landed, rate] = jvp(in_s, s, Tensor::full(s.shape(), 1, s.dtype(), s.device()), JvpMode::tracked);
    return {landed, rate};
  }
  const Tensor& velocity = at.at(r.velocity);
  if (r.gap > 0) {
    const auto beside = [&](double h) { return stop_gradient(value(x + velocity * h, t + h, s, Grad::None)); };
    return {value(x, t, s, grad), (beside(r.gap) - beside(-r.gap)) / (2 * r.gap)};
  }
  const Tensor here[] = {x, t}, along[] = {velocity, Tensor::full(t.shape(), 1, t.dtype(), t.device())};
  const auto on_path = [&](std::span<const Tensor> in) { return Tensors{value(in[0], in[1], s, grad)}; };
  const JvpResult result = jvp(on_path, here, along, JvpMode::detached);
  return {result.out[0], result.tangent[0]};
}

Tensors Answers::get(const Read& r, const Term* term) {
  if (r.from == Read::From::store) return stored(r);
  if (r.from == Read::From::state) return {states(term).at(r.at)};
  if (r.rate != Read::Rate::none) return rated(r, term);
  if (r.slope) return {slope(r, term)};
  if (r.from == Read::From::out) return {prediction(r, term)};
  if (r.from == Read::From::taps) return taps(r, term);
  if (r.from == Read::From::apart || r.from == Read::From::log_prob) return text(r, term);
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

/// A decoder's states and output matrix, or another role's logits; or what they make of the batch's own tokens.
Tensors Answers::text(const Read& r, const Term* term) {
  const Reply& answer = reply(r, term, r.cond);
  const Tensors values = answer.states.empty() ? Tensors{answer.out} : answer.states;
  if (r.from == Read::From::apart) return values;
  return {token_log_prob(values, batch_, r.at == "x" ? Tensor() : states(term).at(r.at + "/at"))};
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
  if (term.plan().times.empty()) return nullptr;
  // It compares states alone.
  const auto teacher = roles.find("teacher");
  if (teacher != roles.end() && teacher->second.diffusion) return &teacher->second.diffusion->schedule;
  for (const auto& [name, role] : roles)
    if (role.diffusion) return &role.diffusion->schedule;
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
  const auto join = [&](const auto& field) {
    Tensors all;
    for (const Batch& b : parts) {
      const Tensor part = field(b);
      if (!part.defined()) return Tensor();
      all.push_back(part);
    }
    return concat(all, 0);
  };
  const auto member = [&](Tensor Batch::*m) { return join([m](const Batch& b) { return b.*m; }); };
  const auto join_map = [&](TensorMap Batch::*field) {
    TensorMap whole;
    for (const auto& entry : parts[0].*field) {
      const std::string& name = entry.first;
      const Tensor value = join([&](const Batch& b) {
        const auto found = (b.*field).find(name);
        return found == (b.*field).end() ? Tensor() : found->second;
      });
      if (value.defined()) whole[name] = value;
    }
    return whole;
  };
  return {member(&Batch::x),     member(&Batch::y),      member(&Batch::y2),       member(&Batch::lambda),
          member(&Batch::index), member(&Batch::sample), join_map(&Batch::labels), join_map(&Batch::more)};
}

}  // namespace retort
