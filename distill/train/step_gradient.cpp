#include "distill/train/step_gradient.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/index.h"
#include "autograd/ops/shape.h"
#include "distill/train/ranks.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// From the host, as weights follow schedules: a captured step takes its uploads anew.
Tensor weight_like(const Tensor& t, double weight) {
  return to(Tensor::scalar(weight, t.dtype(), host_of(t.device())), t.device());
}
}  // namespace

std::int64_t Draws::size(const Source& source, std::int64_t rows) const {
  const std::int64_t wanted = rows > 0 ? rows : source.micro_batch, group = source.group();
  return (wanted + group - 1) / group * group;
}

DrawRequest Draws::request(const std::string& name, std::size_t update, std::int64_t rows, std::size_t i) const {
  const Source& source = *setup_.sources.at(name);
  const RankRows own = rows_of(source, ranks_);
  const std::int64_t wanted = size(source, rows), first = own.begin + static_cast<std::int64_t>(i) * wanted;
  const std::string stream = source.fresh ? fmt::format("source/{}/{}", name, update) : "source/" + name;
  return {clock_.step, step_, first, std::min(wanted, own.end - first), stream, clock_};
}

const std::vector<Batch>& Draws::plain(const std::string& name, std::size_t update, std::int64_t rows) {
  const Source& source = *setup_.sources.at(name);
  std::vector<Batch>& list = drawn_[source.fresh ? fmt::format("{}/{}", name, update) : name];
  if (!list.empty()) return list;
  const RankRows own = rows_of(source, ranks_);
  for (std::size_t i = 0; static_cast<std::int64_t>(i) * size(source, rows) < own.end - own.begin; ++i) {
    Pass pass{static_cast<std::uint32_t>(step_), Rng(setup_.seed), true, nullptr, nullptr};
    list.push_back(source.draw(request(name, update, rows, i), setup_.roles, pass));
  }
  return list;
}

Batch Draws::live(const std::string& name, std::size_t update, std::int64_t rows, std::size_t i, Pass& pass) {
  return setup_.sources.at(name)->draw(request(name, update, rows, i), setup_.roles, pass);
}

void Draws::keep() {
  for (const auto& [key, list] : drawn_) {
    const std::string name = key.substr(0, key.find('/'));
    for (std::size_t i = 0; i < list.size(); ++i) setup_.sources.at(name)->keep(request(name, 0, 0, i), list[i]);
  }
}

StepGradient::StepGradient(const Setup& setup, const UpdateSpec& update, const Where& where, Draws& draws)
    : setup_(setup), update_(update), draws_(draws), where_(where), trained_(update.train.begin(), update.train.end()) {
  for (std::size_t k = 0; k < update.terms.size(); ++k) {
    const auto& [name, weight] = update.terms[k];
    const Term& term = *setup.terms.at(name);
    Share s{&term, 0, 0, name, setup.term_source.at(name), update.group[k], weight.is_zero(), {}};
    for (const Batch& b : batches_of(s.source)) s.units += term.units(b);
    if (term.scope() != Scope::sample) s.units = 1;
    outcome_.shown[name] = 0;
    shares_.push_back(std::move(s));
  }
  scale_shares();
}

void StepGradient::scale_shares() {
  if (Communicator* ranks = draws_.ranks()) {
    std::vector<double> units;
    for (const Share& s : shares_) units.push_back(s.units);
    sum_over(*ranks, units, "units");
    for (std::size_t k = 0; k < units.size(); ++k)
      if (shares_[k].term->scope() == Scope::sample) shares_[k].units = units[k];
  }
  for (std::size_t k = 0; k < shares_.size(); ++k)
    if (shares_[k].units > 0) shares_[k].scale = update_.terms[k].second.at(where_.clock) / shares_[k].units;
}

void StepGradient::share_outcome(Communicator& ranks) {
  std::vector<double> values{outcome_.total};
  for (const auto& [name, value] : outcome_.shown) values.push_back(value);
  sum_over(ranks, values, "losses");
  outcome_.total = values[0];
  std::size_t next = 1;
  for (auto& [name, value] : outcome_.shown) value = values[next++];
  if (!outcome_.stats.empty()) outcome_.stats = mean_statistics(ranks, outcome_.stats);
  std::vector<StorePut> puts;
  for (const PutSpec& spec : update_.puts) {
    Tensors index, rows;
    for (const StorePut& own : outcome_.puts)
      if (own.store == spec.store) {
        index.push_back(own.index);
        rows.push_back(own.values);
      }
    puts.push_back({spec.store, gather_rows(&ranks, concat(index, 0)).all, gather_rows(&ranks, concat(rows, 0)).all});
  }
  outcome_.puts = std::move(puts);
}

Outcome StepGradient::run(std::span<const std::unique_ptr<GradAccumulator>> groups) {
  for (Share& s : shares_)
    if (is_cut(s)) gather(s);
  for (const Share& s : shares_) rounds_ = std::max(rounds_, batches_of(s.source).size());
  Communicator* ranks = draws_.ranks();
  const std::string tag = fmt::format("gradient {}", fmt::join(update_.train, "+"));
  if (ranks)
    for (const auto& group : groups)
      reducers_.push_back(std::make_unique<GradReducer>(*ranks, *group, tag, where_.sums));
  for (std::size_t i = 0; i < rounds_; ++i) pull(i, groups);
  if (ranks) share_outcome(*ranks);
  for (const auto& reducer : reducers_) reducer->finish();
  return std::move(outcome_);
}

Pass StepGradient::pass(Leaves* leaves) {
  return {static_cast<std::uint32_t>(where_.step), Rng(setup_.seed), true, leaves, leaves ? &outcome_.stats : nullptr};
}

void StepGradient::gather(Share& s) {
  const std::vector<Read>& reads = s.term->reads();
  std::vector<std::vector<Tensors>> parts(reads.size());  // by read, then by place in its list: the micro-batches'
  std::vector<TensorMap> states;
  const NoiseSchedule* schedule = nullptr;
  for (const Batch& b : batches_of(s.source)) {
    Pass untracked = pass(nullptr);
    Answers answers(setup_.roles, setup_.stores, b, trained_, untracked, where_.clock);
    answers.wish(*s.term);
    const Signals signals = answers.signals(*s.term);
    const TermInput in = answers.input(*s.term, signals);
    states.push_back(in.states);
    schedule = in.schedule;
    for (std::size_t r = 0; r < reads.size(); ++r) {
      parts[r].resize(signals[r].size());
      for (std::size_t k = 0; k < signals[r].size(); ++k) parts[r][k].push_back(stop_gradient(signals[r][k]));
    }
  }
  Communicator* ranks = draws_.ranks();
  Tape tape;
  Signals whole(reads.size());
  Tensors live;
  std::vector<std::int64_t> first;  // own row of each live signal
  for (std::size_t r = 0; r < reads.size(); ++r)
    for (const Tensors& pieces : parts[r]) {
      const GatheredRows rows = gather_rows(ranks, concat(pieces, 0));
      whole[r].push_back(rows.all);
      if (!reads[r].live) continue;
      first.push_back(rows.first);
      whole[r].back() = tape.watch(whole[r].back());
      live.push_back(whole[r].back());
    }
  const Batch batch = gather_rows(ranks, joined(batches_of(s.source)));
  const Part part = s.term->eval({batch, whole, where_.clock, gather_rows(ranks, joined(states)), schedule});
  note(s, part, batch);
  const Tensors g = tape.gradients(part.total, live);
  s.cotangents.assign(batches_of(s.source).size(), std::vector<Tensors>(reads.size()));
  std::size_t next = 0;
  for (std::size_t r = 0; r < reads.size(); ++r) {
    if (!reads[r].live) continue;
    for (const Tensors& pieces : parts[r]) {
      std::int64_t row = first[next];
      const Tensor scaled = g[next] * weight_like(g[next], s.scale);
      ++next;
      for (std::size_t i = 0; i < pieces.size(); ++i) {
        s.cotangents[i][r].push_back(slice(scaled, 0, row, row + pieces[i].shape()[0]));
        row += pieces[i].shape()[0];
      }
    }
  }
}

std::set<std::string> StepGradient::live_places() const {
  std::set<std::string> live;
  for (const Share& s : shares_)
    if (!s.watched) live.insert(s.place());
  for (const PutSpec& put : update_.puts) live.insert(put.source);
  return live;
}

/// A micro-batch, under the tape (if there is one) when its role moves; of a whole term the global batch, without.
Batch StepGradient::batch_for(const Share& s, std::size_t i, Pass* tracked) {
  if (s.whole()) return joined(batches_of(s.source));
  if (tracked && is_live(s.source)) return draws_.live(s.source, where_.update, where_.rows, i, *tracked);
  return batches_of(s.source)[i];
}

void StepGradient::pull(std::size_t i, std::span<const std::unique_ptr<GradAccumulator>> groups) {
  Tape tape;
  Leaves leaves(tape);
  Pass tracked = pass(&leaves), untracked = pass(nullptr);
  untracked.training = false;
  const std::set<std::string> live = live_places(), nobody;
  std::map<std::string, Batch> batches;
  std::map<std::string, Answers> answers;
  const auto takes_part = [&](const Share& s) { return s.whole() ? i == 0 : i < batches_of(s.source).size(); };
  for (const Share& s : shares_) {
    if (!takes_part(s)) continue;
    const std::string place = s.place();
    const bool pulled = live.contains(place);
    if (!batches.contains(place)) batches[place] = batch_for(s, i, pulled ? &tracked : nullptr);
    answers
        .try_emplace(place, setup_.roles, setup_.stores, batches.at(place), pulled ? trained_ : nobody,
                     pulled ? tracked : untracked, where_.clock)
        .first->second.wish(*s.term);
  }
  for (const PutSpec& put : update_.puts)
    if (const auto found = answers.find(put.source); found != answers.end()) found->second.wish(put.read);
  std::vector<Tensors> outputs(groups.size()), cotangents(groups.size());
  for (const Share& s : shares_) {
    if (!takes_part(s)) continue;
    if (s.watched && !s.cotangents.empty()) continue;
    const Signals signals = answers.at(s.place()).signals(*s.term);
    if (!s.cotangents.empty()) {
      for (std::size_t r = 0; r < signals.size(); ++r)
        for (std::size_t k = 0; k < s.cotangents[i][r].size(); ++k) {
          outputs[s.group].push_back(signals[r][k]);
          cotangents[s.group].push_back(cast(s.cotangents[i][r][k], signals[r][k].dtype()));
        }
      continue;
    }
    const Part part = s.term->eval(answers.at(s.place()).input(*s.term, signals));
    note(s, part, batches.at(s.place()));
    if (s.watched) continue;
    outputs[s.group].push_back(part.total);
    cotangents[s.group].push_back(weight_like(part.total, s.scale));
  }
  for (auto& [source, answer] : answers) collect_puts(source, batches.at(source), answer);
  const bool last = i + 1 == rounds_ && !reducers_.empty();
  for (std::size_t group = 0; group < groups.size(); ++group) {
    if (last) reducers_[group]->last_walk();
    if (!outputs[group].empty()) {
      groups[group]->attach(leaves);
      const Record record = group + 1 < groups.size() ? Record::keep : Record::release;
      tape.backward(outputs[group], cotangents[group], *groups[group], record);
    }
    if (last) reducers_[group]->flush();
  }
}

void StepGradient::collect_puts(const std::string& source, const Batch& batch, Answers& answers) {
  for (const PutSpec& put : update_.puts)
    if (put.source == source) outcome_.puts.push_back({put.store, batch.index, answers.read(put.read)[0]});
}

void StepGradient::note(const Share& s, const Part& part, const Batch& batch) {
  if (setup_.device.kind == DeviceKind::meta) return;
  const double total = to(part.total, kCpu).item();
  if (!std::isfinite(total)) {
    const auto ids = batch.index.values<std::int64_t>();
    throw NumericError(
        "step {}: the loss of term {} is not finite; data ids {}{}; hint: lower the learning rate, or clip",
        where_.step, s.name, fmt::join(std::span(ids).first(std::min<std::size_t>(ids.size(), 8)), " "),
        ids.size() > 8 ? " ..." : "");
  }
  if (is_cut(s) && draws_.ranks() && draws_.ranks()->rank() > 0) return;  // all have the same value, which counts once
  outcome_.total += s.scale * total;
  if (s.units > 0) outcome_.shown[s.name] += to(part.shown, kCpu).item() / s.units;
}

}  // namespace retort
