#include "distill/train/answers.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/guidance.h"
#include "distill/diffusion/step.h"
#include "distill/text/token_batch.h"
#include "nn/decoder.h"

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
Answers::Place Answers::place(const Read& r, const Term* term, const std::string& cond) const {
  return {r.role, r.at == "x" ? nullptr : term, r.at, cond, r.live && !trained_.contains(r.role)};
}

void Answers::wish(const Read& r, const Term* term) {
  if (r.from == Read::From::store || r.from == Read::From::state) return;
  const Role& role = roles_.at(r.role);
  for (const Read& told : told_by(r, role)) wish(told, term);
  if (r.from == Read::From::head && inputs_of(r, role).empty()) return;
  for (const std::string& cond : conditions_of(r)) {
    Want& want = wishes_.try_emplace(place(r, term, cond), Want{.out = false, .taps = {}}).first->second;
    const bool text = r.from == Read::From::apart || r.from == Read::From::log_prob;
    const bool apart = text && is_decoder(role);
    want.states = want.states || apart;
    want.out = want.out || r.from == Read::From::out || (text && !apart);
    for (const TapId& tap : inputs_of(r, role)) {
      if (tap.path.empty())
        want.out = true;
      else if (std::find(want.taps.begin(), want.taps.end(), tap) == want.taps.end())
        want.taps.push_back(tap);
    }
  }
}

Times Answers::draw(const std::vector<NamedLaw>& laws, const std::string& stream) const {
  Times known;
  if (const auto entry = batch_.more.find("t_in"); entry != batch_.more.end()) known["t_in"] = entry->second;
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
    const Tensor raw = role.net->eval(query, {}, Grad::None, pass_).out;
    answers.push_back(role.diffusion->output.read(Space::x0, raw, x, t, role.diffusion->schedule));
  }
  if (!r.guide) return stop_gradient(answers[0]);
  return stop_gradient(guide(answers[0], answers[1], scalar_like(x, r.guide->at(clock_))));
}

const TensorMap& Answers::states(const Term* term) {
  auto found = states_.find(term);
  if (found == states_.end()) found = states_.emplace(term, make_states(term)).first;
  return found->second;
}

TermInput Answers::input(const Term& term, const Signals& signals) {
  return {batch_, signals, clock_, states(&term), schedule_of(term, roles_), &pass_};
}

const Reply& Answers::reply(const Read& r, const Term* term, const std::string& cond) {
  const Place where = place(r, term, cond);
  const auto found = replies_.find(where);
  if (found != replies_.end()) return found->second;
  const Role& role = roles_.at(r.role);
  const TensorMap& at = states(where.term);
  const State* state = term ? term->plan().find(r.at) : nullptr;
  Query query{at.at(r.at), {}, {}, batch_.index, batch_.sample};
  if (role.diffusion && state && !state->time.empty()) {
    query.t = at.at(state->time);
    query.label = label(cond);
  }
  const Grad grad = trained_.contains(r.role) ? Grad::Train : r.live ? Grad::InputLive : Grad::None;
  return replies_.emplace(where, role.net->eval(query, wishes_.at(where), grad, pass_)).first->second;
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
  if (r.from == Read::From::out) return {prediction(r, term)};
  if (r.from == Read::From::taps) return taps(r, term);
  if (r.from == Read::From::apart || r.from == Read::From::log_prob) return text(r, term);
  Tensors& results = head_results_[{place(r, term, r.cond), r.head}];
  if (!results.empty()) return results;
  const Role& role = roles_.at(r.role);
  Tensors values = inputs_of(r, role).empty() ? Tensors() : taps(r, term);
  for (const Read& told : told_by(r, role)) values.push_back(cast(stop_gradient(get(told, term)[0]), role.compute));
  Ctx ctx = context_of(role, pass_, trained_.contains(r.role) ? Grad::Train : Grad::None, batch_.sample);
  return results = role.heads.at(r.head).module->forward(values, ctx);
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
  const Role& role = roles_.at(r.role);
  const Want& want = wishes_.at(place(r, term, r.cond));
  const Reply& answer = reply(r, term, r.cond);
  Tensors values;
  for (const TapId& tap : inputs_of(r, role)) {
    const auto at = std::find(want.taps.begin(), want.taps.end(), tap) - want.taps.begin();
    values.push_back(tap.path.empty() ? answer.out : answer.taps[static_cast<std::size_t>(at)]);
  }
  return values;
}

const NoiseSchedule* schedule_of(const Term& term, const Roles& roles) {
  for (const Read& r : term.reads()) {
    const auto role = roles.find(r.role);
    if (role != roles.end() && role->second.diffusion && r.at != "x") return &role->second.diffusion->schedule;
  }
  return nullptr;
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
  Batch whole{member(&Batch::x),      member(&Batch::y),     member(&Batch::y2),
              member(&Batch::lambda), member(&Batch::index), member(&Batch::sample)};
  for (const auto& entry : parts[0].more) {
    const std::string& name = entry.first;
    const Tensor value = join([&name](const Batch& b) {
      const auto found = b.more.find(name);
      return found == b.more.end() ? Tensor() : found->second;
    });
    if (value.defined()) whole.more[name] = value;
  }
  return whole;
}

}  // namespace retort
