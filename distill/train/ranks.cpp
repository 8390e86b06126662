// distill/train/ranks.cpp -- what a rank does of a job, and what only one process can do.
#include "distill/train/ranks.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "distill/train/job.h"
#include "distill/train/state.h"
#include "io/crc32c.h"
#include "io/file.h"
#include "tensor/write.h"

namespace retort {

RankRows rows_of(const Source& source, const Communicator* ranks) {
  if (!ranks) return {0, source.batch};
  const std::int64_t groups = source.batch / source.group();
  const auto begin = [&](std::int64_t rank) { return groups * rank / ranks->world() * source.group(); };
  return {begin(ranks->rank()), begin(ranks->rank() + 1)};
}

namespace {
bool looks_at_batches(Role& role, bool trained) {
  if (role.batch_statistics) return true;
  if (!trained) return false;
  const auto buffers = buffers_of(role);
  return std::any_of(buffers.begin(), buffers.end(),
                     [](const NamedBuffer& b) { return b.name.ends_with("running_mean"); });
}

/// The first role whose batch norm looks at micro-batches; empty: none.
std::string normalised_role(Setup& setup) {
  const auto trained = trained_roles(setup);
  for (auto& [name, role] : setup.roles)
    if (looks_at_batches(role, std::find(trained.begin(), trained.end(), name) != trained.end())) return name;
  return {};
}

void check_source(const std::string& name, Source& source, const Communicator& ranks, const std::string& normalised) {
  const int world = ranks.world();
  bool remembers = false;
  source.visit_state([&](const std::string&, Tensor&) { remembers = true; });
  if (remembers) throw ConfigError("ranks: source {} remembers what it drew, which {} ranks cannot share", name, world);
  const std::int64_t groups = source.batch / source.group();
  if (groups < world)
    throw ConfigError("ranks: source {}: its {} rows a step are {} units, too few for {} ranks", name, source.batch,
                      groups, world);
  if (normalised.empty()) return;
  const std::int64_t micro = source.micro_batch;
  if (source.batch % world != 0 || source.batch / world % micro != 0)
    throw ConfigError(
        "ranks: batch norm in role {} looks at micro-batches: those of {} rows of source {} would be cut by {} ranks; "
        "hint: a batch that {} divides, and a run.micro_batch that divides a rank's part",
        normalised, micro, name, world, world);
}

void check_update(const UpdateSpec& update, const Setup& setup) {
  for (const auto& [name, weight] : update.terms)
    if (setup.terms.at(name)->scope() == Scope::whole)
      throw ConfigError("ranks: term {} asks networks on the whole batch by itself, which runs on one process", name);
  if (update.aggregate.delta) throw ConfigError("ranks: split_momentum runs on one process");
}
}  // namespace

void check_ranks(Setup& setup, const Communicator& ranks) {
  if (setup.device.kind != DeviceKind::cpu)
    throw ConfigError("ranks: {} of them share a job on processors; got run.device: {}", ranks.world(),
                      setup.device.str());
  if (!setup.drawn.empty())
    throw ConfigError("ranks: the weights of role {} are drawn, which runs on one process", setup.drawn.begin()->first);
  if (!setup.trajectories.empty())
    throw ConfigError("ranks: store {} records weights, which runs on one process", setup.trajectories.begin()->first);
  const std::string normalised = normalised_role(setup);
  for (const PhaseSpec& phase : setup.phases)
    for (const UpdateSpec& update : phase.updates) {
      check_update(update, setup);
      for (const auto& [term, weight] : update.terms) {
        const std::string& source = setup.term_source.at(term);
        check_source(source, *setup.sources.at(source), ranks, normalised);
      }
    }
}

void in_turn(Communicator* ranks, std::int64_t count, const std::function<std::vector<double>(std::int64_t)>& work,
             const std::function<void(std::int64_t, std::span<const double>)>& take) {
  if (!ranks || ranks->world() == 1) {
    for (std::int64_t i = 0; i < count; ++i) take(i, work(i));
    return;
  }
  const std::int64_t world = ranks->world(), me = ranks->rank();
  for (std::int64_t first = 0; first < count; first += world) {
    std::vector<double> own;
    if (first + me < count) own = work(first + me);
    std::vector<std::int64_t> mine{static_cast<std::int64_t>(own.size())}, sizes(static_cast<std::size_t>(world));
    ranks->all_gather(mine, sizes, "evaluation");
    const auto line = static_cast<std::size_t>(*std::max_element(sizes.begin(), sizes.end()));
    std::vector<double> all(line * static_cast<std::size_t>(world));
    own.resize(line);
    ranks->all_gather(own, all, "evaluation");
    for (std::int64_t i = first; i < std::min(first + world, count); ++i) {
      const auto turn = static_cast<std::size_t>(i - first);
      take(i, std::span<const double>(all).subspan(turn * line, static_cast<std::size_t>(sizes[turn])));
    }
  }
}

void sum_over(Communicator& ranks, std::vector<double>& values, std::string_view tag) {
  ranks.all_reduce(values, Reduction::sum, tag);
}

GatheredRows gather_rows(Communicator* ranks, const Tensor& own) {
  if (!ranks || !own.defined()) return {own, 0};
  const auto world = static_cast<std::size_t>(ranks->world());
  std::vector<std::int64_t> mine{own.shape()[0]}, rows(world);
  ranks->all_gather(mine, rows, "rows");
  // Parts are of one size on the way: that of the largest.
  const std::int64_t most = *std::max_element(rows.begin(), rows.end());
  const std::int64_t row_bytes = own.numel() / std::max<std::int64_t>(mine[0], 1) * size_of(own.dtype());
  const Tensor dense = copy_of(own);
  std::vector<std::byte> part(static_cast<std::size_t>(most * row_bytes)), parts(part.size() * world);
  std::memcpy(part.data(), dense.raw(), static_cast<std::size_t>(mine[0] * row_bytes));
  ranks->all_gather(part, parts, "signals");
  Shape shape = own.shape();
  shape[0] = std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
  GatheredRows gathered{Tensor::empty(shape, own.dtype()), 0};
  std::byte* to = gathered.all.raw();
  for (std::size_t r = 0; r < world; ++r) {
    if (static_cast<int>(r) < ranks->rank()) gathered.first += rows[r];
    std::memcpy(to, parts.data() + r * part.size(), static_cast<std::size_t>(rows[r] * row_bytes));
    to += rows[r] * row_bytes;
  }
  return gathered;
}

TensorMap gather_rows(Communicator* ranks, const TensorMap& own) {
  TensorMap all;
  for (const auto& [name, value] : own) all[name] = gather_rows(ranks, value).all;
  return all;
}

Batch gather_rows(Communicator* ranks, const Batch& own) {
  const auto all = [&](const Tensor& t) { return gather_rows(ranks, t).all; };
  return {all(own.x),
          all(own.y),
          all(own.y2),
          all(own.lambda),
          all(own.index),
          all(own.sample),
          gather_rows(ranks, own.labels),
          gather_rows(ranks, own.more)};
}

std::vector<StatUpdate> mean_statistics(Communicator& ranks, std::span<const StatUpdate> own) {
  std::vector<StatUpdate> means;  // by buffer, in the order in which the forward meets them
  std::vector<double> sums;       // of each: how many, then the sum of their values
  for (const StatUpdate& u : own) {
    std::size_t at = 0, k = 0;
    while (k < means.size() && means[k].buffer != u.buffer)
      at += 1 + static_cast<std::size_t>(means[k++].value.numel());
    const std::vector<double> values = u.value.values();
    if (k == means.size()) {
      means.push_back(u);
      sums.resize(at + 1 + values.size());
    }
    ++sums[at];
    for (std::size_t i = 0; i < values.size(); ++i) sums[at + 1 + i] += values[i];
  }
  sum_over(ranks, sums, "running statistics");
  std::size_t at = 0;
  for (StatUpdate& mean : means) {
    const auto count = static_cast<std::size_t>(mean.value.numel());
    std::vector<double> values(sums.begin() + static_cast<std::ptrdiff_t>(at + 1),
                               sums.begin() + static_cast<std::ptrdiff_t>(at + 1 + count));
    for (double& v : values) v /= sums[at];
    mean.value = Tensor::from(values, mean.value.shape(), mean.value.dtype());
    at += 1 + count;
  }
  return means;
}

JobIdentity identity_of(Job& job) {
  std::uint32_t parameters = 0;
  for (auto& [name, role] : job.setup.roles) {
    if (!role.model) continue;
    const std::string line = fmt::format("{} {:08x}\n", name, fingerprint(role));
    parameters = crc32c(bytes_of(line), parameters);
  }
  return {{{"program", crc32c(bytes_of(read_file("/proc/self/exe")))},
           {"job", crc32c(bytes_of(job.resolved))},
           {"parameters", parameters}}};
}

}  // namespace retort
