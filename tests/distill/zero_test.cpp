// tests/distill/zero_test.cpp -- ZeRO-1: ranks that share the optimisers' state train and save as ranks that do not.
#include <doctest/doctest.h>

#include <cmath>

#include "distill/train/run.h"
#include "distill/train/state.h"
#include "io/file.h"
#include "tensor/error.h"
#include "tests/distill/tiny_job.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
namespace fs = std::filesystem;

/// Fingerprints of all roles, and what the steps reported.
struct Trained {
  std::map<std::string, std::uint32_t> prints;
  std::vector<Metrics> metrics;
};

Trained train(Job& job, Communicator* ranks, bool zero) {
  Trained t;
  Trainer trainer(job.setup, ranks, {.zero = zero});
  for (int i = 0; i < 6 && !trainer.finished(); ++i) t.metrics.push_back(trainer.advance());
  for (auto& [name, role] : job.setup.roles) t.prints[name] = fingerprint(role);
  return t;
}

/// By rank.
std::vector<Trained> train_on(int world, bool zero, const std::function<Job()>& build) {
  std::vector<Job> jobs;
  for (int r = 0; r < world; ++r) jobs.push_back(build());
  std::vector<Trained> results(static_cast<std::size_t>(world));
  const auto errors = in_world(Over::threads, world, [&](Communicator& c) {
    const auto r = static_cast<std::size_t>(c.rank());
    results[r] = train(jobs[r], &c, zero);
  });
  CHECK(errors == std::vector<std::string>(static_cast<std::size_t>(world)));
  return results;
}

void check_same(const std::vector<Metrics>& a, const std::vector<Metrics>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t s = 0; s < a.size(); ++s)
    for (std::size_t k = 0; k < a[s].size(); ++k) {
      CAPTURE(a[s][k].first);
      CHECK(a[s][k].first == b[s][k].first);
      CHECK(std::abs(a[s][k].second - b[s][k].second) <= 1e-12 * std::max(1.0, std::abs(b[s][k].second)));
    }
}

/// Ranks that share the state end with the bits of ranks that do not, all of them.
void check_shared_as_whole(int world, const std::function<Job()>& build) {
  CAPTURE(world);
  const Trained whole = train_on(world, false, build)[0];
  for (const Trained& rank : train_on(world, true, build)) {
    CHECK(rank.prints == whole.prints);
    check_same(rank.metrics, whole.metrics);
  }
}

fs::path write_job(const test::TemporaryFolder& folder, const std::string& method = "kd") {
  return write_tiny_job(folder.path(), method, "", "convnet(widths=8x8 depth=1 norm=group dropout=0.2)");
}

/// A run on `world` ranks to its end, from wherever its folder stands.
void run_on(int world, const fs::path& file, const fs::path& place, const std::vector<std::string>& overrides) {
  std::vector<Job> jobs;
  for (int r = 0; r < world; ++r) jobs.push_back(tiny_job(file, overrides));
  RunFolder run = fs::exists(place) ? RunFolder::resume(place, "test")
                                    : RunFolder::create(place, {jobs[0].raw, jobs[0].resolved, "test", "{}"});
  const auto errors = in_world(Over::threads, world, [&](Communicator& c) {
    const int r = c.rank();
    run_job(jobs[static_cast<std::size_t>(r)], r == 0 ? &run : nullptr, place, {}, c);
  });
  CHECK(errors == std::vector<std::string>(static_cast<std::size_t>(world)));
}
}  // namespace

TEST_CASE("zero: optimisers whose state is shared make the same steps, bit for bit") {
  const test::TemporaryFolder folder;
  const auto file = write_job(folder);
  for (const char* optimizer : {"sgd: {lr: .1, momentum: .9, nesterov: true}", "adamw: {lr: .003, wd: .05}",
                                "adam: {lr: .003}", "lion: {lr: .001, wd: .1}"}) {
    CAPTURE(optimizer);
    const std::string optim = std::string("optim.student={") + optimizer + "}";
    for (const int world : {2, 3})
      check_shared_as_whole(world, [&] { return tiny_job(file, {"sources.data.batch=24", optim}); });
  }
  check_shared_as_whole(4, [&] { return tiny_job(file, {"sources.data.batch=24", "run.dtype=f64"}); });
}

TEST_CASE("zero: several roles with optimisers of their own, 16-bit shadows, averages") {
  check_shared_as_whole(2, [] {
    const OpenedJob opened = open_job("dmd2", {"job.task=tiny", "run.dtype=f64"});
    return build_job(opened.config, opened.file, kCpu);
  });
  const test::TemporaryFolder folder;
  const auto file = write_job(folder, "{extends: kd, roles: {student: {ema: {decay: .9}}}}");
  check_shared_as_whole(2, [&] { return tiny_job(file, {"models.student.compute=bf16"}); });
}

TEST_CASE("zero: a gradient that is clipped, and terms whose gradients are kept apart") {
  const test::TemporaryFolder folder;
  const char* update =
      "[{name: both, steps: job, update: [{train: [student], terms: {ce: 1, kd: 1}, CLIP, optim: job}]}]";
  const auto with = [&](const std::string& words) {
    std::string text = std::string("\n  extends: kd\n  phases: ") + update;
    return write_job(folder, text.replace(text.find("CLIP"), 4, words));
  };
  const auto apart = with("aggregate: pcgrad, clip: .1");
  check_shared_as_whole(3, [&] { return tiny_job(apart, {"run.dtype=f64"}); });
  // The norm of shares is summed in another order than that of the whole.
  const auto clipped = with("clip: .1");
  const auto build = [&] { return tiny_job(clipped, {"run.dtype=f64"}); };
  check_same(train_on(3, true, build)[2].metrics, train_on(3, false, build)[0].metrics);
}

TEST_CASE("zero: checkpoints are the files of ranks that share nothing, and any world goes on from them") {
  const test::TemporaryFolder folder;
  const auto file = write_job(folder);
  const fs::path runs = folder.path();
  const std::vector<std::string> whole{"run.dtype=f64", "sources.data.batch=24", "optim.student={adamw: {lr: .003}}",
                                       "run.save_every=6"};
  std::vector<std::string> shared = whole;
  shared.emplace_back("run.zero=1");
  run_on(3, file, runs / "whole", whole);
  run_on(3, file, runs / "shared", shared);
  for (const char* step : {"step_0000006", "step_0000012"})
    for (const char* part : {"model.h5", "state.h5"}) {
      CAPTURE(step);
      CAPTURE(part);
      const fs::path inside = fs::path("checkpoints") / step / part;
      CHECK(read_file(runs / "shared" / inside) == read_file(runs / "whole" / inside));
    }
  const auto weights = [&](const char* run) {
    Job job = tiny_job(file, whole);
    Trainer trainer(job.setup);
    load_checkpoint(newest_checkpoint(runs / run)->path, job.setup, trainer);
    REQUIRE(trainer.finished());
    std::vector<double> all;
    for (const auto& p : parameters_of(job.setup.roles.at("student")))
      for (const double v : p.parameter->value.values()) all.push_back(v);
    return all;
  };
  const auto end = weights("whole");
  for (const int world : {2, 4}) {
    CAPTURE(world);
    const std::string name = "from" + std::to_string(world);
    fs::copy(runs / "shared", runs / name, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    fs::remove_all(runs / name / "checkpoints" / "step_0000012");
    run_on(world, file, runs / name, shared);
    const auto other = weights(name.c_str());
    REQUIRE(other.size() == end.size());
    for (std::size_t i = 0; i < end.size(); ++i) REQUIRE(std::abs(other[i] - end[i]) < 1e-12);
  }
}

TEST_CASE("zero: an optimiser that looks at whole matrices is refused, on one process nothing is") {
  const test::TemporaryFolder folder;
  const auto file = write_job(folder);
  Job job = tiny_job(file, {"optim.student={adafactor: {lr: .01}}"});
  const auto pair = thread_group(2);
  CHECK_THROWS_WITH_AS(Trainer(job.setup, pair[0].get(), {.zero = true}), doctest::Contains("looks at whole matrices"),
                       ConfigError);
  CHECK_NOTHROW(Trainer(job.setup, nullptr, {.zero = true}));
}
