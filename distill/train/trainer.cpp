#include "distill/train/trainer.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "distill/data/pixel_set.h"
#include "distill/train/ranks.h"
#include "nn/init.h"
#include "nn/optim/clip.h"
#include "nn/optim/split_momentum.h"
#include "tensor/gpu/capture.h"
#include "tensor/write.h"

namespace retort {

namespace {
void put_between(const Tensor& value, double low, double high) {
  if (!value.meta()) assign_(value, minimum(maximum(value, low), high), "bounds");
}
}  // namespace

Trainer::Trainer(Setup& setup, Communicator* ranks, const TrainerOptions& options)
    : setup_(setup),
      ranks_(ranks && ranks->world() > 1 ? ranks : nullptr),
      zero_(ranks_ && options.zero),
      mode_(options.capture) {
  const bool on_gpu = setup.device.kind == DeviceKind::emu || setup.device.kind == DeviceKind::cuda;
  if (on_gpu && mode_ != Capture::off) capture_ = std::make_unique<StepCapture>(setup.device);
  if (setup.device.kind == DeviceKind::cpu && mode_ == Capture::on)
    throw ConfigError("run.capture: steps are captured on GPUs; got run.device: cpu");
  if (ranks_) check_ranks(setup, *ranks_);
  for (const auto& [name, spec] : setup.followers)
    followers_.emplace_back(name, Follower(spec, *setup.roles.at(name).model, *setup.roles.at(spec.of).model));
  begin_phase();
}

Trainer::~Trainer() = default;

std::int64_t Trainer::total_steps() const {
  std::int64_t n = 0;
  for (const PhaseSpec& p : setup_.phases) n += p.steps;
  return n;
}

double Trainer::epoch() const {
  if (finished()) return 0;
  const Source& s = *setup_.sources.at(setup_.term_source.at(phase().updates[0].terms[0].first));
  return static_cast<double>(phase_step_) / static_cast<double>(s.steps_per_epoch());
}

Clock Trainer::clock() const {
  const Source& s = *setup_.sources.at(setup_.term_source.at(phase().updates[0].terms[0].first));
  const auto of_epoch = static_cast<double>(s.steps_per_epoch());
  return {phase_step_, phase().steps, epoch(), phase().loop, static_cast<double>(phase().steps) / of_epoch};
}

void Trainer::begin_phase() {
  updates_.clear();
  while (!finished() && phase_step_ >= phase().steps) {
    ++phase_;
    phase_step_ = 0;
  }
  if (finished()) return;
  for (const UpdateSpec& spec : phase().updates) {
    Update u{&spec, {}, {}, {}, {}, {}};
    for (const MoveSpec& move : spec.moves) {
      const std::size_t begin = u.parameters.size();
      for (const auto& [role, prefix] : move.groups)
        for (NamedParameter p : parameters_of(setup_.roles.at(role)))
          if (p.parameter->trainable && (prefix.empty() || p.name == prefix || p.name.starts_with(prefix + ".")))
            u.parameters.push_back({role + "/" + p.name, p.parameter});
      if (u.parameters.size() == begin)
        throw ConfigError("phase {}: {} has nothing to train", phase().name, move.str());
      u.ends.push_back(u.parameters.size());
      u.optimizers.push_back(move.optim.make());
      if (zero_ && !u.optimizers.back()->elementwise())
        throw ConfigError(
            "run.zero: the optimiser of {} looks at whole matrices, which ranks do not share; hint: adamw", move.str());
    }
    if (zero_) u.shards = std::make_unique<StateShards>(*ranks_, u.parameters);
    for (std::size_t k = 0, begin = 0; k < u.optimizers.size(); begin = u.ends[k++]) {
      const std::size_t count = u.ends[k] - begin;
      u.optimizers[k]->prepare(zero_ ? u.shards->own(begin, count)
                                     : std::span<const NamedParameter>(u.parameters).subspan(begin, count));
    }
    const std::size_t groups = 1 + *std::max_element(spec.group.begin(), spec.group.end());
    for (std::size_t k = 0; k < groups; ++k) u.groups.push_back(std::make_unique<GradAccumulator>(u.parameters));
    updates_.push_back(std::move(u));
  }
}

Outcome Trainer::differentiate(std::size_t index, std::int64_t micro_batch, Draws& draws, GradReducer::Sums sums) {
  Update& u = updates_[index];
  for (const auto& group : u.groups) group->zero();
  return StepGradient(setup_, *u.spec, {clock(), global_step_, index, micro_batch, sums}, draws).run(u.groups);
}

double Trainer::shared_norm(const Update& u) const {
  const double own = grad_norm(u.shards->own_of(u.groups[0]->grads()));
  std::vector<double> squares{own * own};
  sum_over(*ranks_, squares, "gradient norm");
  return std::sqrt(squares[0]);
}

double Trainer::combine(Update& u, Metrics& metrics) const {
  if (u.sums() == GradReducer::Sums::own) return shared_norm(u);
  if (u.groups.size() == 1) return grad_norm(u.groups[0]->grads());
  std::vector<std::vector<Tensor>> rows;
  for (const auto& group : u.groups) rows.push_back(group->grads());
  const Gram gram = gram_matrix(rows);
  if (!std::isfinite(gram.trace())) return gram.trace();
  const auto& weights = u.spec->aggregate.weights;
  if (!weights) return std::sqrt(gram.quadratic(sum_weights(gram)));
  const LossWeights w = weights(gram, Rng(setup_.seed).stream("aggregate", static_cast<std::uint32_t>(global_step_)));
  for (std::size_t k = 0; k < w.size(); ++k) {
    metrics.emplace_back("aggregate/" + u.spec->terms[k].first, w[k]);
    u.groups[k]->scale(w[k]);
    if (k == 0) continue;
    for (std::size_t i = 0; i < rows[k].size(); ++i) accumulate_(rows[0][i], rows[k][i]);
  }
  return std::sqrt(gram.quadratic(w));
}

void Trainer::move(Update& u, Metrics& metrics) {
  for (std::size_t k = 0, begin = 0; k < u.optimizers.size(); begin = u.ends[k++]) {
    const double lr = u.spec->moves[k].optim.schedule(phase_step_, phase().steps);
    metrics.emplace_back("lr/" + u.spec->moves[k].str(), lr);
    const std::size_t count = u.ends[k] - begin;
    const auto parameters = std::span<const NamedParameter>(u.parameters).subspan(begin, count);
    if (auto* split = dynamic_cast<SplitMomentum*>(u.optimizers[k].get())) {
      split->step(u.parameters, u.groups[0]->reached(), u.groups[1]->reached(), lr);
      continue;
    }
    const auto grads = std::span(u.groups[0]->grads()).subspan(begin, count);
    if (u.shards)
      u.optimizers[k]->step(u.shards->own(begin, count), u.shards->own_of(grads, begin), lr);
    else
      u.optimizers[k]->step(parameters, grads, lr);
  }
  if (u.shards) u.shards->gather_values();
  for (std::size_t k = 0, begin = 0; k < u.optimizers.size(); begin = u.ends[k++]) {
    const OptimSpec& how = u.spec->moves[k].optim;
    if (how.bounds)
      for (std::size_t i = begin; i < u.ends[k]; ++i)
        put_between(u.parameters[i].parameter->value, how.bounds->first, how.bounds->second);
    if (how.clip_pixels)
      for (const std::string& role : u.spec->train)
        if (auto* set = dynamic_cast<PixelSet*>(setup_.roles.at(role).model.get())) set->clip();
  }
}

void Trainer::draw_params() {
  if (setup_.device.kind == DeviceKind::meta) return;
  for (auto& [name, drawn] : setup_.drawn)
    if (is_used(name)) drawn->begin(setup_.roles.at(name), {setup_.seed, phase_step_, global_step_});
}

bool Trainer::is_used(const std::string& role) const {
  for (const UpdateSpec& u : phase().updates) {
    if (std::find(u.train.begin(), u.train.end(), role) != u.train.end()) return true;
    for (const auto& [name, weight] : u.terms) {
      const Term& term = *setup_.terms.at(name);
      for (const Read& r : term.reads())
        if (r.role == role) return true;
      for (const std::string& asked : term.asks())
        if (asked == role) return true;
    }
  }
  return false;
}

void Trainer::record(std::int64_t done) {
  for (const RecordSpec& r : phase().records)
    if (done % r.every == 0) setup_.trajectories.at(r.store).record(setup_.roles.at(r.role), r.run, done / r.every);
}

std::string Trainer::step_name() const {
  std::vector<std::string> due;
  for (const Update& u : updates_)
    if (phase_step_ % u.spec->every == 0) due.push_back(fmt::format("{}", fmt::join(u.spec->train, "+")));
  return fmt::format("phase {} ({})", phase().name, fmt::join(due, ", "));
}

Metrics Trainer::advance() {
  if (finished()) throw InternalError("trainer: advanced past the end of its plan");
  Metrics metrics = capture_ ? run_captured_step() : run_step();
  if (phase_step_ >= phase().steps) {
    finish_phase();
    begin_phase();
  }
  return metrics;
}

Metrics Trainer::run_captured_step() {
  constexpr std::int64_t kTrials = 8;
  const std::string name = step_name();
  Metrics metrics;
  capture_->run(name, [&] { metrics = run_step(); });
  const StepCapture::Report& report = capture_->reports().at(name);
  if (mode_ == Capture::on && report.unsettled >= kTrials)
    throw ConfigError("run.capture: on, but {} does not repeat: {}; hint: with auto what differs runs as it comes",
                      name, report.reason);
  return metrics;
}

std::vector<std::string> Trainer::captured() const {
  std::vector<std::string> lines;
  if (!capture_) return lines;
  for (const auto& [name, r] : capture_->reports())
    lines.push_back(fmt::format(
        "{}: {} of {} sections of its newest step replayed, {} replays in {} steps, temporaries in {:.2f} MiB{}{}",
        name, r.replayed, r.sections, r.replays, r.steps, static_cast<double>(r.arena_bytes) / 1048576.0,
        r.reason.empty() ? "" : "; as it comes: ", r.reason));
  return lines;
}

Metrics Trainer::run_step() {
  Metrics metrics;
  double total = 0;
  const bool meta = setup_.device.kind == DeviceKind::meta;
  draw_params();
  if (phase_step_ == 0) record(0);
  Draws draws(setup_, clock(), global_step_, ranks_);
  for (std::size_t i = 0; i < updates_.size(); ++i) {
    Update& u = updates_[i];
    if (phase_step_ % u.spec->every != 0) continue;
    const Outcome outcome = differentiate(i, 0, draws, u.sums());
    total += outcome.total;
    for (const auto& [name, value] : outcome.shown) metrics.emplace_back("loss/" + name, value);
    const std::string roles = fmt::format("{}", fmt::join(u.spec->train, "+"));
    if (!meta) {
      const double norm = combine(u, metrics);
      if (!std::isfinite(norm)) report_gradient(u);
      metrics.emplace_back("grad_norm/" + roles, norm);
      if (u.spec->clip > 0 && norm > u.spec->clip)
        for (const auto& group : u.groups) group->scale(u.spec->clip / norm);
    }
    move(u, metrics);
    apply_statistics(outcome.stats);
    for (const StorePut& put : outcome.puts) setup_.stores.at(put.store)->put(put.index, put.values);
  }
  draws.keep();
  metrics.insert(metrics.begin(), {"loss/total", total});
  follow();
  for (auto& [name, controller] : setup_.controllers) controller->update(metrics, clock());
  if (!meta)
    for (auto& [name, drawn] : setup_.drawn)
      if (is_used(name)) drawn->end(setup_.roles.at(name), {setup_.seed, phase_step_, global_step_});
  record(phase_step_ + 1);
  ++global_step_;
  ++phase_step_;
  return metrics;
}

void Trainer::follow() {
  for (auto& [name, follower] : followers_) {
    std::int64_t samples = 0;
    for (const Update& u : updates_) {
      if (phase_step_ % u.spec->every != 0) continue;
      const bool trains = std::find(u.spec->train.begin(), u.spec->train.end(), follower.of()) != u.spec->train.end();
      if (trains) samples += setup_.sources.at(setup_.term_source.at(u.spec->terms[0].first))->batch;
    }
    if (samples > 0) follower.follow(samples);
  }
}

void Trainer::finish_phase() {
  if (setup_.device.kind == DeviceKind::meta) return;
  for (const Between& b : phase().between) {
    Model& model = *setup_.roles.at(b.role).model;
    if (b.kind == Between::Kind::copy)
      ema_update(model, *setup_.roles.at(b.from).model, 0.0, EmaBuffers::copy);
    else
      initialize(model, Rng(Rng(setup_.seed).stream(fmt::format("fresh/{}/{}", b.role, phase_)).key));
  }
}

std::map<std::string, Tensor> Trainer::gradients(std::size_t index, std::int64_t micro_batch) {
  Update& u = updates_.at(index);
  draw_params();
  Draws draws(setup_, clock(), global_step_, ranks_);
  differentiate(index, micro_batch, draws, GradReducer::Sums::all);
  Metrics weights;
  if (u.groups.size() > 1) combine(u, weights);
  std::map<std::string, Tensor> result;
  const std::vector<Tensor>& grads = u.groups[0]->grads();
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const Tensor g = copy_of(grads[i]);
    if (u.groups.size() == 2 && !u.spec->aggregate.weights) accumulate_(g, u.groups[1]->grads()[i]);
    result.emplace(u.parameters[i].name, g);
  }
  return result;
}

void Trainer::report_gradient(const Update& u) const {
  for (const auto& group : u.groups)
    for (std::size_t i = 0; i < u.parameters.size(); ++i)
      if (!std::isfinite(grad_norm(std::span(&group->grads()[i], 1))))
        throw NumericError("step {}: the gradient of {} is not finite; hint: lower the learning rate, or clip",
                           global_step_, u.parameters[i].name);
  throw NumericError("step {}: the norm of the gradient of {} is not finite; hint: lower the learning rate, or clip",
                     global_step_, fmt::join(u.spec->train, "+"));
}

void Trainer::visit_shared(Update& u, std::size_t k, const std::string& place, StateUse use,
                           const std::function<void(const std::string&, Tensor&)>& visit) {
  std::map<std::string, std::size_t> number;
  for (std::size_t i = 0; i < u.parameters.size(); ++i) number[u.parameters[i].name] = i;
  const bool visits = use != StateUse::save || ranks_->rank() == 0;
  u.optimizers[k]->visit_state([&](const std::string& name, Tensor& own) {
    const std::size_t slash = name.find('/');  // "SLOT/PARAMETER", or "step", which is the same on all ranks
    if (slash == std::string::npos) {
      if (visits) visit(place + name, own);
      return;
    }
    const std::size_t i = number.at(name.substr(slash + 1));
    const Tensor& value = u.parameters[i].parameter->value;
    Tensor whole;
    if (visits)
      whole = Tensor::empty(value.shape(), own.dtype(), use == StateUse::look ? kMeta : kCpu, &value.strides());
    if (use == StateUse::save) u.shards->gather(i, own, whole);
    if (visits) visit(place + name, whole);
    if (use == StateUse::load) u.shards->take(i, whole, own);
  });
}

void Trainer::visit_state(StateUse use, const std::function<void(const std::string&, Tensor&)>& visit) {
  for (std::size_t i = 0; i < updates_.size(); ++i)
    for (std::size_t k = 0; k < updates_[i].optimizers.size(); ++k) {
      const std::string place = k == 0 ? fmt::format("update{}/", i) : fmt::format("update{}.{}/", i, k);
      if (updates_[i].shards)
        visit_shared(updates_[i], k, place, use, visit);
      else
        updates_[i].optimizers[k]->visit_state(
            [&](const std::string& name, Tensor& value) { visit(place + name, value); });
    }
  if (use == StateUse::save && ranks_ && ranks_->rank() > 0) return;
  for (auto& [name, runs] : setup_.trajectories) visit("trajectory/" + name, runs.table);
  for (auto& [name, drawn] : setup_.drawn) {
    const std::string place = "drawn/" + name + "/";
    drawn->visit_state([&](const std::string& what, Tensor& value) { visit(place + what, value); });
  }
  for (auto& [name, follower] : followers_) visit("params/" + name, follower.counters());
  for (auto& [name, store] : setup_.stores) visit("store/" + name, store->table());
  for (auto& [name, controller] : setup_.controllers) visit("control/" + name, controller->state());
  for (auto& [name, source] : setup_.sources) {
    const std::string place = "source/" + name + "/";
    source->visit_state([&](const std::string& what, Tensor& value) { visit(place + what, value); });
  }
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
