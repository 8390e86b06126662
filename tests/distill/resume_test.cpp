// tests/distill/resume_test.cpp -- runs that are killed or stopped end in the same bytes; bad jobs end in clear errors.
#include <doctest/doctest.h>
#include <signal.h>

#include <chrono>
#include <random>
#include <thread>

#include "io/file.h"
#include "tests/distill/child.h"
#include "tests/distill/tiny_job.h"

using namespace retort;
using namespace retort::testing;

namespace {
namespace fs = std::filesystem;

Ended run(const std::vector<std::string>& arguments, const fs::path& folder) {
  return Child(arguments, folder / "output").wait();
}

/// Longer than one save interval, so that a kill falls anywhere in it.
const std::vector<std::string> kLong{"run.steps=300", "run.save_every=20", "run.log_every=10"};

std::vector<std::string> run_arguments(const fs::path& job, const std::string& name) {
  std::vector<std::string> a{"run", job.string(), "job.name=" + name};
  a.insert(a.end(), kLong.begin(), kLong.end());
  return a;
}
}  // namespace

TEST_CASE("run: killed at random moments and resumed, it ends in the bytes of an uninterrupted run") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "kd");
  const fs::path runs = fs::path(folder.path()) / "runs";
  const auto begin = std::chrono::steady_clock::now();
  const Ended whole = run(run_arguments(job, "whole"), folder.path());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  INFO(whole.output);
  REQUIRE(whole.exit_code == 0);

  const int kills = std::getenv("RETORT_SOAK") ? 20 : 3;
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> moment(0.05, 0.9);
  Child first(run_arguments(job, "killed"), fs::path(folder.path()) / "output");
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds * moment(random)));
  first.send(SIGKILL);
  first.wait();
  for (int k = 1; k < kills; ++k) {
    Child again({"resume", (runs / "killed").string()}, fs::path(folder.path()) / "output");
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds * moment(random)));
    again.send(SIGKILL);
    again.wait();
  }
  const Ended end = fs::exists(runs / "killed" / "config.yaml")
                        ? run({"resume", (runs / "killed").string()}, folder.path())
                        : run(run_arguments(job, "killed"), folder.path());
  INFO(end.output);
  REQUIRE(end.exit_code == 0);
  for (const char* file : {"model.h5", "state.h5"}) {
    CAPTURE(file);
    CHECK(read_file(runs / "whole" / "checkpoints" / "step_0000300" / file) ==
          read_file(runs / "killed" / "checkpoints" / "step_0000300" / file));
  }
  const Ended once_more = run({"resume", (runs / "killed").string()}, folder.path());
  CHECK(once_more.exit_code == 0);
}

TEST_CASE("run: SIGTERM saves, exits with 128 + 15, and resume goes on from there") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "ce");
  auto arguments = run_arguments(job, "stopped");
  arguments.push_back("run.steps=20000");
  Child child(arguments, fs::path(folder.path()) / "output");
  const fs::path checkpoints = fs::path(folder.path()) / "runs" / "stopped" / "checkpoints";
  for (int i = 0; i < 600 && !fs::exists(checkpoints / "step_0000020" / "DONE"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  child.send(SIGTERM);
  const Ended e = child.wait();
  INFO(e.output);
  CHECK(e.exit_code == 128 + SIGTERM);
  CHECK(e.output.find("continue with: retort resume") != std::string::npos);
}

TEST_CASE("run: SIGTERM after the last step cuts the evaluation off, and all steps are saved") {
  const test::TemporaryFolder folder;
  const fs::path last = fs::path(folder.path()) / "edm" / "checkpoints" / "step_0000002" / "DONE";
  Child child({"run", "edm", "job.task=tiny", "job.output_dir=" + folder.path(), "job.name=edm", "run.steps=2",
               "eval={generate: {count: 1000000000, rows: {endless: {stages: [{role: student, grid: uniform(4)}]}}}}"},
              fs::path(folder.path()) / "output");
  for (int i = 0; i < 600 && !fs::exists(last); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(fs::exists(last));
  child.send(SIGTERM);
  for (int i = 0; i < 1500 && !child.ended(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  if (!child.ended()) child.send(SIGKILL);  // it evaluates to the end: the exit code tells
  const Ended e = child.wait();
  INFO(e.output);
  CHECK(e.exit_code == 128 + SIGTERM);
  CHECK(e.output.find("retort resume evaluates again") != std::string::npos);
}

TEST_CASE("run: bad jobs end in an error that names the place") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "kd").string();
  struct Bad {
    std::vector<std::string> arguments;
    int code;
    std::string fragment;
  };
  const std::vector<Bad> cases{
      {{"run", job, "run.stepz=3"}, 2, "the nearest known key is 'steps'"},
      {{"run", job, "method.terms.kd.d=kll(forward)"}, 2, "kl"},
      {{"run", job, "method=kdd"}, 2, "kd"},
      {{"run", job, "models.student.arch=convnett(widths=8)"}, 2, "convnet"},
      {{"run", job, "run.micro_batch=7"}, 2, "must be a multiple of run.micro_batch"},
      {{"run", job, "run.device=cud"}, 2, "the nearest is 'cuda'"},
      {{"run", job, "run.device=cuda:x"}, 2, "run.device: device: a number follows the colon; got cuda:x"},
      {{"run", job, "run.device=cuda:9"}, 12, "cuda:9: there are"},
      {{"run", job, "models.teacher={init_from: absent.h5}"}, 3, "absent.h5"},
      {{"run", job, "optim.student.sgd.lr=1e30"}, 15, "not finite"},
      {{"run", "no_such_job"}, 2, "no_such_job"},
      {{"resume", folder.path()}, 2, "not a run folder"},
      {{"inspect", job}, 3, "tiny.yaml"},
      {{"frobnicate"}, 2, ""},
  };
  for (const Bad& bad : cases) {
    CAPTURE(bad.arguments.back());
    const Ended e = run(bad.arguments, folder.path());
    INFO(e.output);
    CHECK(e.signal == 0);
    CHECK(e.exit_code == bad.code);
    CHECK(e.output.find(bad.fragment) != std::string::npos);
    fs::remove_all(fs::path(folder.path()) / "runs");
  }
}

TEST_CASE("run: an existing run folder is refused and left as it is") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "ce").string();
  REQUIRE(run({"run", job}, folder.path()).exit_code == 0);
  const fs::path model = fs::path(folder.path()) / "runs" / "tiny" / "latest" / "model.h5";
  const std::string before = read_file(model);
  const Ended e = run({"run", job}, folder.path());
  CHECK(e.exit_code == 2);
  CHECK(e.output.find("retort resume") != std::string::npos);
  CHECK(read_file(model) == before);
  CHECK(run({"eval", (fs::path(folder.path()) / "runs" / "tiny").string()}, folder.path()).exit_code == 0);
  CHECK(run({"inspect", model.string()}, folder.path()).exit_code == 0);
}
