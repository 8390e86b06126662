// tests/distill/average_test.cpp -- `roles.R.ema` in jobs: closed forms, buffers, resumption, evaluation, plan.
#include <cmath>

#include "distill/train/param_source.h"
#include "distill/train/run.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "nn/optim/sgd.h"
#include "tensor/write.h"
#include "tests/distill/tiny_job.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;
namespace fs = std::filesystem;

namespace {
constexpr const char* kBatchNorm = "convnet(widths=8x8 depth=1 norm=batch dropout=0.2)";

/// A tiny job whose student is averaged by `ema`.
fs::path job_with_ema(const test::TemporaryFolder& folder, const std::string& ema,
                      const std::string& student = kBatchNorm) {
  return write_tiny_job(folder.path(), "{extends: ce, roles: {student: {ema: " + ema + "}}}", "", student);
}

std::map<std::string, std::vector<double>> values_of_role(Job& job, const std::string& role) {
  return values_of(*job.setup.roles.at(role).model);
}

/// Largest difference between two sets of values, relative to the largest value.
double distance(const std::map<std::string, std::vector<double>>& a,
                const std::map<std::string, std::vector<double>>& b) {
  double worst = 0, size = 0;
  for (const auto& [name, v] : a)
    for (std::size_t i = 0; i < v.size(); ++i) {
      worst = std::max(worst, std::abs(v[i] - b.at(name)[i]));
      size = std::max(size, std::abs(v[i]));
    }
  return worst / size;
}

/// Runs the job in `folder` until it is done, or stopped before step `stop`.
RunResult run_until(Job& job, const fs::path& folder, std::int64_t stop = 1 << 30) {
  RunFolder run = fs::exists(folder / "config.yaml") ? RunFolder::resume(folder, "test")
                                                     : RunFolder::create(folder, {job.raw, job.resolved, "test", "{}"});
  RunObserver observer;
  std::int64_t steps = 0;
  observer.stop_requested = [&] { return ++steps >= stop; };
  return run_job(job, run, observer);
}
}  // namespace

TEST_CASE("ema: the average over gradient descent on a quadratic has its closed form") {
  // L = a w^2 / 2: w_t = r^t w_0 with r = 1 - lr a, so e_t = w_0 (d^t + (1 - d) r (r^t - d^t) / (r - d)).
  constexpr double a = 2, lr = 0.1, d = 0.9, w0 = 3;
  Bag model;
  model.items.emplace_back(Tensor::full({1}, w0, DType::f64));
  Bag average = model;
  Follower averager({.of = "student", .decay = EmaDecay::constant(d)}, average, model);
  Sgd sgd({});
  const double r = 1 - lr * a;
  for (int t = 1; t <= 20; ++t) {
    const Tensor g = Tensor::full({1}, a * model.items[0].value.item(), DType::f64);
    sgd.step(parameters_of(model), std::span(&g, 1), lr);
    averager.follow(32);
    const double tail = (std::pow(r, t) - std::pow(d, t)) / (r - d);
    const double got = average.items[0].value.item();
    CHECK(got == doctest::Approx(w0 * (std::pow(d, t) + (1 - d) * r * tail)).epsilon(1e-13));
    CHECK(std::abs(got - w0 * (std::pow(d, t) + (1 - d) * tail)) > 1e-3);  // had it followed before the step
  }
  CHECK(averager.counters().values<std::int64_t>() == std::vector<std::int64_t>{20, 640});
}

TEST_CASE("ema: the trainer follows the masters after every step, the buffers as they are told to") {
  for (const std::string buffers : {"average", "copy"}) {
    CAPTURE(buffers);
    const test::TemporaryFolder folder;
    Job job = tiny_job(job_with_ema(folder, "{decay: .8, buffers: " + buffers + "}"), {"run.dtype=f64"});
    Trainer trainer(job.setup);
    auto expected = values_of_role(job, "student"), lagging = expected;
    CHECK(distance(values_of_role(job, "student.ema"), expected) == 0);
    const auto buffer_names = buffers_of(*job.setup.roles.at("student").model);
    REQUIRE_FALSE(buffer_names.empty());
    while (!trainer.finished()) {
      const auto before = values_of_role(job, "student");
      trainer.advance();
      const auto now = values_of_role(job, "student");
      for (auto& [name, e] : expected)
        for (std::size_t i = 0; i < e.size(); ++i) {
          const bool is_buffer = std::any_of(buffer_names.begin(), buffer_names.end(),
                                             [&n = name](const NamedBuffer& b) { return b.name == n; });
          const double d = is_buffer && buffers == "copy" ? 0 : .8;
          e[i] = d * e[i] + (1 - d) * now.at(name)[i];
          lagging[name][i] = .8 * lagging[name][i] + .2 * before.at(name)[i];
        }
    }
    CHECK(distance(values_of_role(job, "student.ema"), expected) < 1e-13);
    CHECK(distance(values_of_role(job, "student.ema"), lagging) > 1e-4);
  }
}

TEST_CASE("ema: an average moves only with the role that it follows") {
  const test::TemporaryFolder folder;
  const std::string method =
      "\n  extends: ce\n  roles: {student: {ema: {decay: .5}}, other: {net: student}}\n"
      "  terms: {fit: {kind: match, from: data, pred: {role: other, out: logits}, target: label, d: ce, reduce: "
      "sum/sample}}\n"
      "  phases:\n"
      "    - {name: first, steps: 3, update: [{train: [other], terms: {fit: 1}, optim: {sgd: {lr: .1}}}]}\n"
      "    - {name: second, steps: 4, update: [{train: [student], every: 2, terms: {ce: 1}, optim: job}, "
      "{train: [other], terms: {fit: 1}, optim: {sgd: {lr: .1}}}]}";
  Job job = tiny_job(write_tiny_job(folder.path(), method));
  Trainer trainer(job.setup);
  Role& average = job.setup.roles.at("student.ema");
  std::vector<bool> moved;
  while (!trainer.finished()) {
    const auto before = fingerprint(average);
    trainer.advance();
    moved.push_back(fingerprint(average) != before);
  }
  CHECK(moved == std::vector<bool>{false, false, false, true, false, true, false});
}

TEST_CASE("ema: a run that is stopped and resumed ends in the same bytes, counters included") {
  for (const std::string ema : {"{power: 2, start: 2}", "{halflife: 200, rampup: .5}", "{decay: .99, warmup: 10}"}) {
    CAPTURE(ema);
    const test::TemporaryFolder folder;
    const auto file = job_with_ema(folder, ema);
    Job whole = tiny_job(file), first = tiny_job(file), second = tiny_job(file);
    CHECK(run_until(whole, folder.file("whole")).finished);
    CHECK_FALSE(run_until(first, folder.file("cut"), 5).finished);
    CHECK(run_until(second, folder.file("cut")).finished);
    const auto checkpoint = [&](const char* run) { return newest_checkpoint(folder.file(run))->path; };
    for (const char* name : {"model.h5", "state.h5"})
      CHECK(read_file(checkpoint("whole") / name) == read_file(checkpoint("cut") / name));
    const CheckpointReader state(checkpoint("cut") / "state.h5"), model(checkpoint("cut") / "model.h5");
    CHECK(state.find("params/student.ema") != nullptr);
    CHECK(model.find("student.ema/head.weight") != nullptr);

    // Counters that began anew would be noticed.
    Job forgetful = tiny_job(file);
    Trainer trainer(forgetful.setup);
    load_checkpoint(list_checkpoints(folder.file("cut")).front().path, forgetful.setup, trainer);
    trainer.visit_state(StateUse::look, [](const std::string& name, Tensor& t) {
      if (name.starts_with("params/")) fill_(t, 0);
    });
    while (!trainer.finished()) trainer.advance();
    CHECK(fingerprint(forgetful.setup.roles.at("student")) == fingerprint(whole.setup.roles.at("student")));
    CHECK(fingerprint(forgetful.setup.roles.at("student.ema")) != fingerprint(whole.setup.roles.at("student.ema")));
  }
}

TEST_CASE("ema: the average is evaluated in a row of its own, can be the best, a target and a start") {
  const test::TemporaryFolder folder;
  const auto file = job_with_ema(folder, "{decay: .5}");
  const std::vector<std::string> overrides{"eval.roles={student: raw, student.ema: averaged}",
                                           "run.keep_best=acc/top1/student.ema", "eval.every=6", "run.save_every=6"};
  Job job = tiny_job(file, overrides);
  const RunResult result = run_until(job, folder.file("run"));
  REQUIRE(result.evaluations.size() == 2);
  CHECK(result.evaluations[1].first == "averaged");
  CHECK(result.evaluations[0].second.cross_entropy != result.evaluations[1].second.cross_entropy);
  const auto metrics = read_metrics(folder.file("run"));
  CHECK(metrics.at("acc/top1/student.ema").steps == std::vector<std::int64_t>{6, 12});
  CHECK(best_checkpoint(folder.file("run")).has_value());

  const std::string model = (newest_checkpoint(folder.file("run"))->path / "model.h5").string();
  Job next = tiny_job(file, {"models.student={init_from: " + model + ", role: student.ema}"});
  CHECK(fingerprint(next.setup.roles.at("student")) == fingerprint(job.setup.roles.at("student.ema")));

  const std::string mean_teacher =
      "{terms: {self: {kind: match, from: data, pred: {role: student, out: logits}, target: {role: student.ema, out: "
      "logits}, d: sq, reduce: mean/sample}}, phases: [{name: main, steps: job, update: [{train: [student], terms: "
      "{ce: 1, self: 1}, optim: job}]}]}";
  const auto consistent =
      write_tiny_job(folder.path(), "{extends: ce, roles: {student: {ema: {decay: .9}}}, " + mean_teacher.substr(1));
  Job self = tiny_job(consistent);
  Trainer trainer(self.setup);
  while (!trainer.finished()) CHECK(std::isfinite(trainer.advance()[0].second));
}

TEST_CASE("ema: planning knows the average, and jobs that ask for nonsense are refused") {
  const test::TemporaryFolder folder;
  const auto plan = [&](const std::string& ema) {
    const MemoryScope scope(Ref<MemoryAccount>(new MemoryAccount));
    Job job = ema.empty() ? tiny_job(write_tiny_job(folder.path(), "ce", "", kBatchNorm), {}, kMeta)
                          : tiny_job(job_with_ema(folder, ema), {}, kMeta);
    return plan_job(job);
  };
  const PlanReport with = plan("{decay: .9}"), without = plan("");
  REQUIRE(with.roles.size() == without.roles.size() + 1);
  CHECK(with.roles[1].role == "student.ema");
  CHECK(with.peak >= without.peak + with.roles[1].parameter_bytes);
  CHECK(with.text().find("student.ema") != std::string::npos);
  CHECK(with.resident > 1 << 20);
  const auto refused = [&](const std::string& ema, const std::string& what) {
    CAPTURE(ema);
    CHECK_THROWS_WITH_AS(tiny_job(job_with_ema(folder, ema)), doctest::Contains(what.c_str()), ConfigError);
  };
  refused("{decay: .9, power: 3}", "exactly one of");
  refused("{decay: 1.5}", "decay");
  refused("{halflife: 10, warmup: 3}", "warmup");
  refused("{decay: .9, buffers: keep}", "average");
  const std::string teacher = "{extends: kd, roles: {teacher: {ema: {decay: .9}}}}";
  CHECK_THROWS_WITH_AS(tiny_job(write_tiny_job(folder.path(), teacher)), doctest::Contains("no update trains that"),
                       ConfigError);
}

TEST_CASE("ema: warm-ups have their closed forms") {
  EmaDecay d = EmaDecay::constant(.99);
  d.warmup = 10;
  CHECK(d.at(1, 1) == doctest::Approx(2. / 11));
  CHECK(d.at(100000, 1) == .99);
  EmaDecay h = EmaDecay::half_life(1000);
  h.rampup = .05;
  CHECK(h.at(1, 50, 1000) == doctest::Approx(.5));  // the half-life is 50 samples so far
  CHECK(h.at(9, 1000, 1000000) == doctest::Approx(.5));
  EmaDecay s = EmaDecay::constant(.9);
  s.start = 3;
  CHECK(s.at(3, 1) == 0);
  CHECK(s.at(4, 1) == .9);
}

TEST_CASE("keep_best: `best` names the checkpoint of the best value of the metric, also after a resume") {
  for (const std::string metric : {"acc/top1/student", "eval/ce/student"}) {
    CAPTURE(metric);
    const test::TemporaryFolder folder;
    const auto phase = [](const char* name, int steps, int sign) {
      return fmt::format("{{name: {}, steps: {}, update: [{{train: [student], terms: {{ce: {}}}, optim: job}}]}}", name,
                         steps, sign);
    };
    // It learns, then it is driven away from the labels: the best checkpoint is not the last.
    const auto file = write_tiny_job(
        folder.path(), "{extends: ce, phases: [" + phase("learn", 18, 1) + ", " + phase("forget", 12, -1) + "]}");
    const std::vector<std::string> overrides{"run.keep_best=" + metric, "eval.every=3", "run.save_every=3",
                                             "run.keep_last=100"};
    Job first = tiny_job(file, overrides), second = tiny_job(file, overrides);
    CHECK_FALSE(run_until(first, folder.file("run"), 15).finished);
    CHECK(run_until(second, folder.file("run")).finished);
    const MetricSeries series = read_metrics(folder.file("run")).at(metric);
    std::size_t best = 0;
    for (std::size_t i = 1; i < series.steps.size(); ++i)
      if (metric.starts_with("acc") ? series.values[i] > series.values[best] : series.values[i] < series.values[best])
        best = i;
    CHECK(best + 1 < series.steps.size());  // the last checkpoint is not the answer to everything
    CHECK(best_checkpoint(folder.file("run"))->step == series.steps[best]);
    Trainer trainer(second.setup);
    const CheckpointInfo info = load_checkpoint(newest_checkpoint(folder.file("run"))->path, second.setup, trainer);
    CHECK(info.best_step == series.steps[best]);
    CHECK(info.best_value == series.values[best]);
  }
}

TEST_CASE("keep_best: a metric that no evaluation writes is refused, the nearest is named") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd");
  const auto refused = [&](const std::string& metric) {
    CHECK_THROWS_WITH_AS(tiny_job(file, {"run.keep_best=" + metric}), doctest::Contains("acc/top1/student"),
                         ConfigError);
  };
  refused("acc/top1/studen");
  refused("acc/top5/student");
  refused("acc/top1/teacher");  // a role that no phase trains is evaluated at the end only
}

TEST_CASE("run: its end tells the predicted, the allocated and the resident peak") {
  const test::TemporaryFolder folder;
  Job job = tiny_job(write_tiny_job(folder.path(), "ce"));
  job.predicted_peak = 3 << 20;
  const RunResult result = run_until(job, folder.file("run"));
  CHECK(result.memory.predicted == 3 << 20);
  CHECK(result.memory.allocator > 0);
  CHECK(result.memory.resident > result.memory.allocator);
  for (const char* file : {"log.txt", "report.html"})
    CHECK(read_file(fs::path(folder.file("run")) / file).find("peak memory: predicted 3.00 MiB, tensors ") !=
          std::string::npos);
}
