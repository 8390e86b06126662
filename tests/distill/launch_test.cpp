// tests/distill/launch_test.cpp -- processes that share a job: end to end, killed, stopped, continued on fewer or more.
#include <doctest/doctest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "distill/train/state.h"
#include "tests/distill/child.h"
#include "tests/distill/tiny_job.h"

using namespace retort;
using namespace retort::testing;

namespace {
namespace fs = std::filesystem;

const std::vector<std::string> kShared{"run.dtype=f64", "sources.data.batch=24", "run.threads=1"};

std::vector<std::string> arguments(std::vector<std::string> head, const fs::path& job, const std::string& name,
                                   const std::vector<std::string>& more = {}) {
  head.push_back(job.string());
  head.push_back("job.name=" + name);
  for (const auto* list : {&kShared, &more}) head.insert(head.end(), list->begin(), list->end());
  return head;
}

/// The student at the end of a run.
std::vector<double> weights_of(const fs::path& run) {
  Config config = Config::parse_file(run / "resolved.yaml");
  Job job = build_job(config, run / "resolved.yaml", kCpu);
  Trainer trainer(job.setup);
  load_checkpoint(newest_checkpoint(run)->path, job.setup, trainer);
  CHECK(trainer.finished());
  std::vector<double> all;
  for (const auto& p : parameters_of(job.setup.roles.at("student")))
    for (const double v : p.parameter->value.values()) all.push_back(v);
  return all;
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

void wait_for_checkpoint(const fs::path& run) {
  for (int i = 0; i < 1000 && !newest_checkpoint(run); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  REQUIRE(newest_checkpoint(run));
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("launch: two processes give the run of one, and leave one run folder with one evaluation") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "kd");
  const fs::path log = fs::path(folder.path()) / "output", runs = fs::path(folder.path()) / "runs";
  REQUIRE(Child(arguments({"run"}, job, "one"), log).wait().exit_code == 0);
  const Ended e = Child(arguments({"launch", "-n", "2"}, job, "two"), log).wait();
  INFO(e.output);
  REQUIRE(e.exit_code == 0);
  CHECK(e.output.find("report: ") == e.output.rfind("report: "));
  CHECK(fs::exists(runs / "two" / "report.html"));
  CHECK(difference(weights_of(runs / "two"), weights_of(runs / "one")) < 1e-12);
  const auto one = read_metrics(runs / "one"), two = read_metrics(runs / "two");
  CHECK(two.at("loss/total").steps == one.at("loss/total").steps);
  CHECK(difference(two.at("loss/total").values, one.at("loss/total").values) < 1e-12);
  CHECK(two.at("acc/top1/student").values == one.at("acc/top1/student").values);
}

TEST_CASE("launch: when a rank is killed the others stop by themselves, and one process goes on from the checkpoint") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "kd");
  const fs::path log = fs::path(folder.path()) / "output", runs = fs::path(folder.path()) / "runs";
  const std::vector<std::string> more{"run.steps=160", "run.save_every=20"};
  Child launched(arguments({"launch", "-n", "2"}, job, "killed", more), log);
  wait_for_checkpoint(runs / "killed");
  const std::vector<pid_t> ranks = launched.children();
  REQUIRE(ranks.size() == 2);
  const auto begin = std::chrono::steady_clock::now();
  kill(ranks[1], SIGKILL);
  const Ended e = launched.wait();
  INFO(e.output);
  CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < 4);  // not by the launcher
  CHECK(e.exit_code == 128 + SIGKILL);
  CHECK(contains(e.output, "launch: rank 1 was ended by signal 9"));
  CHECK(contains(e.output, "CommError: comm: rank 0 in "));
  CHECK(contains(e.output, "rank 1 is gone"));
  const Ended resumed = Child({"resume", (runs / "killed").string()}, log).wait();
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  CHECK(contains(resumed.output, "continuing at step "));
  REQUIRE(Child(arguments({"run"}, job, "one", more), log).wait().exit_code == 0);
  CHECK(difference(weights_of(runs / "killed"), weights_of(runs / "one")) < 1e-9);
}

TEST_CASE("launch: a stop is one for all ranks, and the run goes on with another number of them") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "kd");
  const fs::path log = fs::path(folder.path()) / "output", runs = fs::path(folder.path()) / "runs";
  const std::vector<std::string> more{"run.steps=160", "run.save_every=20"};
  Child launched(arguments({"launch", "-n", "3"}, job, "stopped", more), log);
  wait_for_checkpoint(runs / "stopped");
  launched.send(SIGTERM);
  const Ended e = launched.wait();
  INFO(e.output);
  CHECK(e.exit_code == 128 + SIGTERM);
  CHECK(contains(e.output, "stopped at step "));
  CHECK(!contains(e.output, "CommError"));
  const Ended resumed = Child({"launch", "-n", "2", (runs / "stopped").string()}, log).wait();
  INFO(resumed.output);
  REQUIRE(resumed.exit_code == 0);
  REQUIRE(Child(arguments({"run"}, job, "one", more), log).wait().exit_code == 0);
  CHECK(difference(weights_of(runs / "stopped"), weights_of(runs / "one")) < 1e-9);
}

TEST_CASE("launch: what is wrong with a job is said, and no rank stays behind") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "dot-distillation-oriented-trainer");
  const fs::path log = fs::path(folder.path()) / "output";
  const Ended refused =
      Child(arguments({"launch", "-n", "2"}, job, "refused", {"optim.student={sgd: {lr: .1, momentum: .9}}"}), log)
          .wait();
  INFO(refused.output);
  CHECK(refused.exit_code == 2);
  CHECK(contains(refused.output, "split_momentum runs on one process"));
  CHECK(Child({"launch", "-n", "2", job.string(), "run.stepz=3"}, log).wait().exit_code == 2);
  CHECK(Child({"launch", "-n", "0", job.string()}, log).wait().exit_code == 2);
  const Ended unknown = Child({"launch", "-n", "2", "no_such"}, log).wait();
  CHECK(unknown.exit_code == 2);
  CHECK(unknown.output.find("ConfigError") == unknown.output.rfind("ConfigError"));  // not by every rank
}
