#include "distill/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "nn/optim/clip.h"
#include "tensor/write.h"

namespace retort {

namespace {
/// The signals that the terms of one source want from one role: one forward serves them all.
struct Wish {
  Want want;
  std::vector<std::string> heads;
  void add(const Read& r, const Role& role) {
    want.out = want.out || r.from == Read::From::out;
    if (r.from == Read::From::out) return;
    const TapId tap = r.from == Read::From::tap ? r.tap : role.head_input.at(r.head);
    if (std::find(want.taps.begin(), want.taps.end(), tap) == want.taps.end()) want.taps.push_back(tap);
  }
};

/// Answers of the roles to one micro-batch, evaluated once each.
class Answers {
 public:
  Answers(const Roles& roles, const Batch& batch, const std::set<std::string>& trained, Pass& pass)
      : roles_(roles), batch_(batch), trained_(trained), pass_(pass) {}

  void wish(const Read& r) {
    const auto it = wishes_.try_emplace(r.role, Wish{{.out = false, .taps = {}}, {}}).first;
    it->second.add(r, roles_.at(r.role));
  }
  Tensor get(const Read& r) {
    const Role& role = roles_.at(r.role);
    const Grad grad = trained_.contains(r.role) ? Grad::Train : Grad::None;
    auto it = replies_.find(r.role);
    if (it == replies_.end()) {
      const Query query{batch_.x, batch_.index, batch_.sample};
      it = replies_.emplace(r.role, role.net->eval(query, wishes_.at(r.role).want, grad, pass_)).first;
    }
    if (r.from == Read::From::out) return it->second.out;
    const TapId id = r.from == Read::From::tap ? r.tap : role.head_input.at(r.head);
    const auto& taps = wishes_.at(r.role).want.taps;
    const Tensor tap =
        it->second.taps[static_cast<std::size_t>(std::find(taps.begin(), taps.end(), id) - taps.begin())];
    if (r.from == Read::From::tap) return tap;
    Ctx ctx;
    ctx.training = pass_.training && grad == Grad::Train;
    ctx.leaves = grad == Grad::Train ? pass_.leaves : nullptr;
    ctx.stats = grad == Grad::Train ? pass_.stats : nullptr;
    ctx.compute = role.compute;
    ctx.rng = pass_.rng;
    ctx.step = pass_.step;
    ctx.samples = batch_.sample;
    return role.heads.at(r.head)->forward(tap, ctx);
  }

 private:
  const Roles& roles_;
  const Batch& batch_;
  const std::set<std::string>& trained_;
  Pass& pass_;
  std::map<std::string, Wish> wishes_;
  std::map<std::string, Reply> replies_;
};

/// Joins the micro-batches of a source into one batch (what a batch-coupled term sees).
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
  return {join(&Batch::x),      join(&Batch::y),     join(&Batch::y2),
          join(&Batch::lambda), join(&Batch::index), join(&Batch::sample)};
}

bool all_finite(std::span<const Tensor> tensors) { return std::isfinite(grad_norm(tensors)); }
}  // namespace

Trainer::Trainer(Setup& setup) : setup_(setup) {
  for (const auto& [name, spec] : setup.averages)
    averagers_.emplace_back(spec, *setup.roles.at(name).model, *setup.roles.at(spec.of).model);
  begin_phase();
}

std::int64_t Trainer::total_steps() const {
  std::int64_t n = 0;
  for (const PhaseSpec& p : setup_.phases) n += p.steps;
  return n;
}

double Trainer::epoch() const {
  if (finished()) return 0;
  const Source& s = setup_.sources.at(setup_.term_source.at(phase().updates[0].terms[0].first));
  return static_cast<double>(phase_step_) / static_cast<double>(s.loader->steps_per_epoch());
}

Clock Trainer::clock() const { return {phase_step_, phase().steps, epoch()}; }

void Trainer::begin_phase() {
  updates_.clear();
  while (!finished() && phase_step_ >= phase().steps) {
    ++phase_;
    phase_step_ = 0;
  }
  if (finished()) return;
  for (const UpdateSpec& spec : phase().updates) {
    Update u{&spec, {}, spec.optim.make(), nullptr};
    for (const std::string& role : spec.train)
      for (NamedParameter p : parameters_of(setup_.roles.at(role)))
        if (p.parameter->trainable) u.parameters.push_back({role + "/" + p.name, p.parameter});
    u.optimizer->prepare(u.parameters);
    u.gradients = std::make_unique<GradAccumulator>(u.parameters);
    updates_.push_back(std::move(u));
  }
}

std::map<std::string, Trainer::Batches> Trainer::draw(const UpdateSpec& u, std::int64_t micro_batch) const {
  std::map<std::string, Batches> drawn;
  for (const auto& [term, weight] : u.terms) {
    const std::string& name = setup_.term_source.at(term);
    if (drawn.contains(name)) continue;
    const Source& s = setup_.sources.at(name);
    const std::int64_t rows = micro_batch > 0 ? micro_batch : s.micro_batch;
    Batches& list = drawn[name];
    for (std::int64_t first = 0; first < s.batch; first += rows) {
      const std::int64_t n = std::min(rows, s.batch - first);
      const DataBatch b = setup_.device.kind == DeviceKind::meta ? s.loader->meta_batch(n)
                                                                 : s.loader->prefetched(phase_step_, first, n);
      list.push_back({b.x, b.y, b.y2, b.lambda, b.index, b.sample});
    }
  }
  return drawn;
}

Trainer::Outcome Trainer::differentiate(Update& u, std::int64_t micro_batch) {
  const auto drawn = draw(*u.spec, micro_batch);
  const std::set<std::string> trained(u.spec->train.begin(), u.spec->train.end());
  const Rng rng(setup_.seed);
  const auto step = static_cast<std::uint32_t>(global_step_);
  const bool meta = setup_.device.kind == DeviceKind::meta;
  u.gradients->zero();
  Outcome outcome;

  struct Share {
    const Term* term;
    double scale;  ///< c_k / N_k
    std::string name, source;
    std::vector<Tensor> cotangents;  ///< batch-coupled with several micro-batches: per micro-batch, of its prediction
  };
  std::vector<Share> shares;
  for (const auto& [name, weight] : u.spec->terms) {
    const Term& term = *setup_.terms.at(name);
    const std::string& source = setup_.term_source.at(name);
    double units = 0;
    for (const Batch& b : drawn.at(source)) units += term.units(b);
    if (term.scope() == Scope::batch) units = 1;
    shares.push_back({&term, units > 0 ? weight.at(clock()) / units : 0.0, name, source, {}});
    outcome.shown[name] = 0;
  }
  const auto value_of = [&](const Tensor& t) { return meta ? 0.0 : t.item(); };
  const auto note = [&](const Share& s, const Part& part, const Batch& batch) {
    const double total = value_of(part.total);
    if (!std::isfinite(total)) report_not_finite("term " + s.name, batch);
    outcome.total += s.scale * total;
    double units = 0;
    for (const Batch& b : drawn.at(s.source)) units += s.term->units(b);
    if (s.term->scope() == Scope::batch) units = 1;
    if (units > 0) outcome.shown[s.name] += value_of(part.shown) / units;
  };

  // First pass, for batch-coupled terms over several micro-batches: signals without tape, cotangents on the joined
  // batch.
  for (Share& s : shares) {
    const Batches& batches = drawn.at(s.source);
    if (s.term->scope() != Scope::batch || batches.size() == 1) continue;
    Tensors preds, targets;
    for (const Batch& b : batches) {
      Pass pass{step, rng, true, nullptr, nullptr};
      Answers answers(setup_.roles, b, trained, pass);
      answers.wish(s.term->pred());
      if (s.term->target()) answers.wish(*s.term->target());
      preds.push_back(stop_gradient(answers.get(s.term->pred())));
      if (s.term->target()) targets.push_back(stop_gradient(answers.get(*s.term->target())));
    }
    const Batch whole = joined(batches);
    Tape tape;
    const Tensor pred = tape.watch(concat(preds, 0));
    const Part part = s.term->eval(whole, {pred, targets.empty() ? Tensor() : concat(targets, 0)});
    note(s, part, whole);
    const Tensor g = tape.gradients(part.total, std::span(&pred, 1))[0] * s.scale;
    std::int64_t row = 0;
    for (const Tensor& p : preds) {
      s.cotangents.push_back(slice(g, 0, row, row + p.shape()[0]));
      row += p.shape()[0];
    }
  }

  std::size_t rounds = 0;
  for (const auto& [name, batches] : drawn) rounds = std::max(rounds, batches.size());
  for (std::size_t i = 0; i < rounds; ++i) {
    Tape tape;
    Leaves leaves(tape);
    Pass pass{step, rng, true, &leaves, &outcome.stats};
    Tensors outputs, cotangents;
    std::map<std::string, Answers> answers;
    for (const Share& s : shares) {
      const Batches& batches = drawn.at(s.source);
      if (i >= batches.size()) continue;
      Answers& a = answers.try_emplace(s.source, setup_.roles, batches[i], trained, pass).first->second;
      a.wish(s.term->pred());
      if (s.term->target()) a.wish(*s.term->target());
    }
    for (const Share& s : shares) {
      const Batches& batches = drawn.at(s.source);
      if (i >= batches.size()) continue;
      Answers& a = answers.at(s.source);
      const Tensor pred = a.get(s.term->pred());
      if (!s.cotangents.empty()) {
        outputs.push_back(pred);
        cotangents.push_back(cast(s.cotangents[i], pred.dtype()));
        continue;
      }
      const Tensor target = s.term->target() ? stop_gradient(a.get(*s.term->target())) : Tensor();
      const Part part = s.term->eval(batches[i], {pred, target});
      note(s, part, batches[i]);
      outputs.push_back(part.total);
      cotangents.push_back(Tensor::scalar(s.scale, part.total.dtype(), part.total.device()));
    }
    u.gradients->attach(leaves);
    tape.backward(outputs, cotangents, *u.gradients);
  }
  return outcome;
}

Metrics Trainer::advance() {
  if (finished()) throw InternalError("trainer: advanced past the end of its plan");
  Metrics metrics;
  double total = 0;
  const bool meta = setup_.device.kind == DeviceKind::meta;
  for (Update& u : updates_) {
    if (phase_step_ % u.spec->every != 0) continue;
    const Outcome outcome = differentiate(u, 0);
    total += outcome.total;
    for (const auto& [name, value] : outcome.shown) metrics.emplace_back("loss/" + name, value);
    const std::vector<Tensor>& grads = u.gradients->grads();
    std::string roles;
    for (const std::string& r : u.spec->train) roles += (roles.empty() ? "" : "+") + r;
    if (!meta) {
      const double norm = grad_norm(grads);
      if (!std::isfinite(norm)) {
        const auto bad = std::find_if(grads.begin(), grads.end(), [](const Tensor& g) { return !all_finite({&g, 1}); });
        throw NumericError("step {}: the gradient of {} is not finite; hint: lower the learning rate, or clip",
                           global_step_, u.parameters[static_cast<std::size_t>(bad - grads.begin())].name);
      }
      metrics.emplace_back("grad_norm/" + roles, norm);
      if (u.spec->clip > 0 && norm > u.spec->clip) u.gradients->scale(u.spec->clip / norm);
    }
    const double lr = u.spec->optim.schedule(phase_step_, phase().steps);
    metrics.emplace_back("lr/" + roles, lr);
    u.optimizer->step(u.parameters, grads, lr);
    apply_statistics(outcome.stats);
  }
  metrics.insert(metrics.begin(), {"loss/total", total});
  follow_averages();
  ++global_step_;
  ++phase_step_;
  if (phase_step_ >= phase().steps) begin_phase();
  return metrics;
}

void Trainer::follow_averages() {
  for (Averager& a : averagers_) {
    std::int64_t samples = 0;
    for (const Update& u : updates_) {
      if (phase_step_ % u.spec->every != 0) continue;
      const bool trains = std::find(u.spec->train.begin(), u.spec->train.end(), a.of()) != u.spec->train.end();
      if (trains) samples += setup_.sources.at(setup_.term_source.at(u.spec->terms[0].first)).batch;
    }
    if (samples > 0) a.follow(samples);
  }
}

std::map<std::string, Tensor> Trainer::gradients(std::size_t u, std::int64_t micro_batch) {
  differentiate(updates_.at(u), micro_batch);
  std::map<std::string, Tensor> result;
  const std::vector<Tensor>& grads = updates_[u].gradients->grads();
  for (std::size_t i = 0; i < grads.size(); ++i) result.emplace(updates_[u].parameters[i].name, copy_of(grads[i]));
  return result;
}

void Trainer::report_not_finite(const std::string& what, const Batch& batch) const {
  const auto ids = batch.index.values<std::int64_t>();
  throw NumericError("step {}: the loss of {} is not finite; data ids {}{}; hint: lower the learning rate, or clip",
                     global_step_, what, fmt::join(std::span(ids).first(std::min<std::size_t>(ids.size(), 8)), " "),
                     ids.size() > 8 ? " ..." : "");
}

void Trainer::visit_state(const std::function<void(const std::string&, Tensor&)>& visit) {
  for (std::size_t i = 0; i < updates_.size(); ++i)
    updates_[i].optimizer->visit_state(
        [&](const std::string& name, Tensor& value) { visit(fmt::format("update{}/{}", i, name), value); });
  for (Averager& a : averagers_) visit("ema/" + a.of(), a.counters());
}

void Trainer::seek(std::int64_t step) {
  phase_ = 0;
  global_step_ = step;
  phase_step_ = step;
  while (!finished() && phase_step_ >= phase().steps) {
    phase_step_ -= phase().steps;
    ++phase_;
  }
  if (finished() && phase_step_ > 0) throw ConfigError("checkpoint: step {} is beyond the plan's end", step);
  begin_phase();
}

}  // namespace retort
