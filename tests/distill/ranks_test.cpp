// tests/distill/ranks_test.cpp -- a job on several ranks is the job on one process; what cannot be is refused.
#include "distill/train/ranks.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "distill/train/run.h"
#include "distill/train/state.h"
#include "tensor/error.h"
#include "tests/distill/tiny_job.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
using Values = std::map<std::string, std::vector<double>>;

constexpr const char* kGroupNorm = "convnet(widths=8x8 depth=1 norm=group dropout=0.2)";
constexpr const char* kBatchNorm = "convnet(widths=8x8 depth=1 norm=batch dropout=0.2)";

/// Parameters and buffers of the student, and what every step reported.
struct Trained {
  Values weights;
  std::vector<Metrics> metrics;
  std::uint32_t print = 0;
};

Trained train(Job& job, Communicator* ranks) {
  Trained t;
  Trainer trainer(job.setup, ranks, job.run.trainer);
  while (!trainer.finished()) t.metrics.push_back(trainer.advance());
  Role& student = job.setup.roles.at("student");
  for (const auto& p : parameters_of(student)) t.weights[p.name] = p.parameter->value.values();
  for (const auto& b : buffers_of(student)) t.weights[b.name] = b.buffer->value.values();
  t.print = fingerprint(student);
  return t;
}

Values values_of(const std::map<std::string, Tensor>& tensors) {
  Values values;
  for (const auto& [name, t] : tensors) values[name] = t.values();
  return values;
}

/// |a - b| / |b| over everything, or |a - b| where b is 0.
double difference(const Values& a, const Values& b) {
  double apart = 0, norm = 0;
  for (const auto& [name, values] : b)
    for (std::size_t i = 0; i < values.size(); ++i) {
      apart += std::pow(a.at(name)[i] - values[i], 2);
      norm += std::pow(values[i], 2);
    }
  return std::sqrt(norm == 0 ? apart : apart / norm);
}

double difference(const std::vector<Metrics>& a, const std::vector<Metrics>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t s = 0; s < a.size(); ++s) {
    REQUIRE(a[s].size() == b[s].size());
    for (std::size_t k = 0; k < a[s].size(); ++k)
      worst = std::max(worst, std::abs(a[s][k].second - b[s][k].second) / std::max(1.0, std::abs(b[s][k].second)));
  }
  return worst;
}

/// The job, trained by `world` threads.
std::vector<Trained> train_on(int world, const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  std::vector<Job> jobs;
  for (int r = 0; r < world; ++r) jobs.push_back(tiny_job(file, overrides));
  std::vector<Trained> results(static_cast<std::size_t>(world));
  const auto errors = in_world(Over::threads, world, [&](Communicator& c) {
    const auto r = static_cast<std::size_t>(c.rank());
    results[r] = train(jobs[r], &c);
  });
  CHECK(errors == std::vector<std::string>(static_cast<std::size_t>(world)));
  return results;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string refusal(const std::filesystem::path& file, const std::vector<std::string>& overrides, int world) {
  Job job = tiny_job(file, overrides);
  const auto group = thread_group(world);
  try {
    Trainer trainer(job.setup, group[0].get(), job.run.trainer);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "";
}
}  // namespace

TEST_CASE("ranks: rows are cut in even parts of whole groups, and none is left out") {
  struct Grouped final : Source {
    Batch draw(const DrawRequest&, const Roles&, Pass&) const override { return {}; }
    std::int64_t group() const override { return 4; }
  };
  Grouped source;
  source.batch = 28;
  CHECK(rows_of(source, nullptr).begin == 0);
  CHECK(rows_of(source, nullptr).end == 28);
  const auto group = thread_group(3);
  std::vector<std::int64_t> cuts;
  for (const auto& rank : group) {
    const RankRows own = rows_of(source, rank.get());
    cuts.push_back(own.begin);
    cuts.push_back(own.end);
  }
  CHECK(cuts == std::vector<std::int64_t>{0, 8, 8, 16, 16, 28});
}

TEST_CASE("ranks: 1, 2, 3 and 4 of them train as one process does, group norm and dropout included (f64, 1e-12)") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd", "", kGroupNorm);
  const std::vector<std::string> overrides{"run.dtype=f64", "sources.data.batch=24"};
  Job alone = tiny_job(file, overrides);
  const Trained one = train(alone, nullptr);
  for (const int world : {1, 2, 3, 4}) {
    CAPTURE(world);
    auto given = overrides;
    if (world == 2) given.emplace_back("run.micro_batch=4");
    const auto several = train_on(world, file, given);
    for (const Trained& rank : several) {
      CHECK(difference(rank.weights, one.weights) < 1e-12);
      CHECK(difference(rank.metrics, one.metrics) < 1e-12);
      CHECK(rank.print == several[0].print);
    }
    CHECK((world == 1) == (several[0].print == one.print));  // the order of sums is another one
    CHECK(train_on(world, file, given)[0].print == several[0].print);
  }
}

TEST_CASE("ranks: parts of a batch may differ in size") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd", "", kGroupNorm);
  const std::vector<std::string> overrides{"run.dtype=f64", "sources.data.batch=10", "run.steps=4"};
  Job alone = tiny_job(file, overrides);
  const Trained one = train(alone, nullptr);
  CHECK(difference(train_on(4, file, overrides)[1].weights, one.weights) < 1e-12);
}

TEST_CASE("ranks: batch norm has the micro-batches and running statistics of one process, or is refused") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd", "", kBatchNorm);
  const std::vector<std::string> overrides{"run.dtype=f64", "sources.data.batch=24", "run.micro_batch=4"};
  Job alone = tiny_job(file, overrides);
  const Trained one = train(alone, nullptr);
  for (const Trained& rank : train_on(3, file, overrides)) CHECK(difference(rank.weights, one.weights) < 1e-12);
  for (const char* micro : {"run.micro_batch=0", "run.micro_batch=12"}) {
    const std::string text = refusal(file, {"sources.data.batch=24", micro}, 3);
    INFO(text);
    CHECK(contains(text, "batch norm in role student looks at micro-batches"));
  }
}

TEST_CASE("ranks: terms that see the whole batch, and stores that it is put into, are gathered") {
  const test::TemporaryFolder folder;
  for (const char* method : {"dist", "rkd", "crd"}) {
    CAPTURE(method);
    const auto file = write_tiny_job(folder.path(), method, "", kGroupNorm);
    std::vector<std::string> overrides{"run.dtype=f64", "sources.data.batch=24", "run.steps=5"};
    if (std::string_view(method) == "crd")
      for (const char* term : {"student", "teacher"})
        overrides.push_back(fmt::format("method.terms.{}.target.negatives=16", term));
    Job alone = tiny_job(file, overrides);
    const Trained one = train(alone, nullptr);
    for (const int world : {2, 5}) {
      auto given = overrides;
      if (world == 2) given.emplace_back("run.micro_batch=4");
      for (const Trained& rank : train_on(world, file, given)) {
        CHECK(difference(rank.weights, one.weights) < 1e-12);
        CHECK(difference(rank.metrics, one.metrics) < 1e-12);
      }
    }
  }
}

TEST_CASE("ranks: an update of two terms with gradients of their own") {
  const test::TemporaryFolder folder;
  const std::string method =
      "\n  extends: kd\n  phases: [{name: both, steps: job, update: [{train: [student], terms: {ce: 1, kd: 1}, "
      "aggregate: pcgrad, clip: .1, optim: job}]}]";
  const auto file = write_tiny_job(folder.path(), method, "", kGroupNorm);
  const std::vector<std::string> overrides{"run.dtype=f64", "sources.data.batch=24", "run.steps=5"};
  Job alone = tiny_job(file, overrides);
  const Trained one = train(alone, nullptr);
  for (const Trained& rank : train_on(2, file, overrides)) {
    CHECK(difference(rank.weights, one.weights) < 1e-12);
    CHECK(difference(rank.metrics, one.metrics) < 1e-11);
  }
}

TEST_CASE("ranks: what one process alone can do is refused when the trainer is built") {
  const test::TemporaryFolder folder;
  const auto dot = write_tiny_job(folder.path(), "dot-distillation-oriented-trainer");
  std::string text = refusal(dot, {"optim.student={sgd: {lr: .1, momentum: .9}}"}, 2);
  INFO(text);
  CHECK(contains(text, "split_momentum runs on one process"));
  const auto kd = write_tiny_job(folder.path(), "kd");
  CHECK(refusal(kd, {}, 2).empty());
  text = refusal(kd, {"sources.data.batch=3"}, 4);
  INFO(text);
  CHECK(contains(text, "too few for 4 ranks"));
}

TEST_CASE("ranks: methods that are not refused give the gradient of one process in its first phase") {
  const int stride = std::getenv("RETORT_SOAK") ? 1 : 3;
  int seen = 0, compared = 0, refused = 0;
  for (const auto& preset : method_presets()) {
    if (seen++ % stride != 0) continue;
    const std::string& slug = preset.first;
    CAPTURE(slug);
    const auto build = [&] {
      std::vector<std::string> overrides{"job.task=tiny", "run.dtype=f64"};
      if (open_job(slug, overrides).file.stem() == "tiny")
        for (const char* model : {"student.arch=convnet(widths=8x12", "teacher.arch=convnet(widths=12x16"})
          overrides.push_back(fmt::format("models.{} depth=1 norm=group)", model));
      const OpenedJob opened = open_job(slug, overrides);
      return build_job(opened.config, opened.file, kCpu);
    };
    Job alone = build();
    if (alone.setup.phases.empty()) continue;  // a sampler
    const auto pair = thread_group(2);
    try {
      check_ranks(alone.setup, *pair[0]);
    } catch (const ConfigError&) {
      ++refused;
      continue;
    }
    std::vector<Job> jobs;
    jobs.push_back(std::move(alone));
    jobs.push_back(build());
    const Values whole = values_of(Trainer(jobs[0].setup).gradients(0));
    std::vector<Values> given(2);
    const auto errors = on_ranks(2, [&](int rank) {
      const auto r = static_cast<std::size_t>(rank);
      given[r] = values_of(Trainer(jobs[r].setup, pair[r].get()).gradients(0));
    });
    REQUIRE(errors == std::vector<std::string>(2));
    CHECK(difference(given[0], whole) < 1e-12);
    CHECK(given[0] == given[1]);
    ++compared;
  }
  CHECK(compared > 40);
  CHECK(refused > 5);
}

TEST_CASE("ranks: a rank whose loss is not finite stops all, with its reason, and rank 0 alone writes") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd");
  std::vector<Job> jobs;
  for (int r = 0; r < 2; ++r) jobs.push_back(tiny_job(file));
  const auto broken = parameters_of(jobs[1].setup.roles.at("teacher"))[0].parameter->value;
  broken.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  RunFolder run = RunFolder::create(folder.file("run"), {jobs[0].raw, jobs[0].resolved, "test", "{}"});
  const auto errors = in_world(Over::threads, 2, [&](Communicator& c) {
    const int r = c.rank();
    run_job(jobs[static_cast<std::size_t>(r)], r == 0 ? &run : nullptr, run.path(), {}, c);
  });
  INFO(errors[0]);
  INFO(errors[1]);
  CHECK(contains(errors[0], "rank 1 gave up: step 0: the loss of term kd is not finite"));
  CHECK(errors[1].starts_with("step 0: the loss of term kd is not finite"));
}
