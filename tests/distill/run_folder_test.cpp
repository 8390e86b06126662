// tests/distill/run_folder_test.cpp -- run folders: refusal, resumption, metrics, checkpoints, and kills at any time.
#include "distill/train/run_folder.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <random>

#include "distill/train/environment.h"
#include "tensor/error.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

RunFolder create(const fs::path& path) {
  return RunFolder::create(path, {"a: 1\n", "a: 1\nb: 2\n", "retort run x", environment_json()});
}

/// A checkpoint of two files, one in a sub-folder, that say their step.
void save_step(RunFolder& run, std::int64_t step) {
  run.save_checkpoint(step, [&](const fs::path& folder) {
    write_file_atomic(folder / "model.h5", std::to_string(step));
    fs::create_directory(folder / "sub");
    write_file_atomic(folder / "sub" / "state.h5", std::to_string(step));
  });
}

bool holds_step(const Checkpoint& checkpoint) {
  const std::string step = std::to_string(checkpoint.step);
  return read_file(checkpoint.path / "model.h5") == step && read_file(checkpoint.path / "sub" / "state.h5") == step;
}

std::vector<std::int64_t> steps(const fs::path& run) {
  std::vector<std::int64_t> out;
  for (const Checkpoint& checkpoint : list_checkpoints(run)) out.push_back(checkpoint.step);
  return out;
}

template <class E, class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

using Steps = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("run folder: a start writes its files, a second one is refused and names resume") {
  const TemporaryFolder temporary;
  const fs::path path = fs::path(temporary.path()) / "runs" / "my run";
  { create(path).log("hello"); }
  CHECK(read_file(path / "config.yaml") == "a: 1\n");
  CHECK(read_file(path / "resolved.yaml") == "a: 1\nb: 2\n");
  CHECK(read_file(path / "command.txt") == "retort run x\n");
  CHECK(contains(read_file(path / "log.txt"), "Z hello\n"));
  const auto environment = nlohmann::json::parse(read_file(path / "environment.json"));
  CHECK(environment["cores"].get<int>() >= 1);
  CHECK(environment["memory_bytes"].get<std::int64_t>() > 0);
  CHECK(contains(environment["libraries"].get<std::string>(), "hdf5"));
  CHECK(contains(error_of<ConfigError>([&] { create(path); }), "`retort resume '" + path.string() + "'`"));

  const fs::path other = fs::path(temporary.path()) / "other";
  fs::create_directory(other);
  CHECK(contains(error_of<ConfigError>([&] { RunFolder::resume(other, "r"); }), "there is no run here"));
  write_file_atomic(other / "thesis.tex", std::string_view("x"));
  CHECK(contains(error_of<ConfigError>([&] { create(other); }), "got 'thesis.tex'"));
  CHECK(contains(error_of<ConfigError>([&] { create(other / "thesis.tex"); }), "a file is in the way"));
}

TEST_CASE("run folder: what a killed start left behind is written over") {
  const TemporaryFolder temporary;
  const fs::path path = temporary.path();
  write_file_atomic(path / "log.txt", std::string_view(""));
  write_file_atomic(path / "resolved.yaml", std::string_view("half"));
  create(path);
  CHECK(read_file(path / "resolved.yaml") == "a: 1\nb: 2\n");
}

TEST_CASE("run folder: one process at a time") {
  const TemporaryFolder temporary;
  const fs::path path = temporary.path();
  {
    const RunFolder run = create(path);
    CHECK(contains(error_of<ConfigError>([&] { RunFolder::resume(path, "r"); }), "another process"));
  }
  RunFolder::resume(path, "retort resume x");
  CHECK(read_file(path / "command.txt") == "retort run x\nretort resume x\n");
}

TEST_CASE("run folder: metrics are one JSON object a line and rewind to the resumed step") {
  const TemporaryFolder temporary;
  const fs::path path = temporary.path(), metrics = path / "metrics.jsonl";
  RunFolder run = create(path);
  run.write_metrics(1, {{"loss/total", .1}, {"acc/top1", 1. / 3}});
  run.write_metrics(2, {{"loss/total", std::nan("")}, {"x", -std::numeric_limits<double>::infinity()}});
  const std::string two = read_file(metrics);
  CHECK(two ==
        "{\"step\":1,\"loss/total\":0.1,\"acc/top1\":0.3333333333333333}\n"
        "{\"step\":2,\"loss/total\":\"nan\",\"x\":\"-inf\"}\n");
  run.write_metrics(3, {{"loss/total", 3}});
  run.rewind_metrics(2);
  CHECK(read_file(metrics) == two);
  { std::ofstream(metrics, std::ios::app) << "{\"step\":2,\"los"; }
  const auto series = read_metrics(path);
  CHECK(series.at("loss/total").steps == Steps{1, 2});
  CHECK(series.at("acc/top1").values == std::vector<double>{1. / 3});
  CHECK(std::isnan(series.at("loss/total").values[1]));
  CHECK(series.at("x").values[0] == -std::numeric_limits<double>::infinity());
  run.rewind_metrics(2);
  CHECK(read_file(metrics) == two);
  run.write_metrics(3, {});
  CHECK(read_file(metrics) == two + "{\"step\":3}\n");
  run.rewind_metrics(0);
  CHECK(read_file(metrics).empty());
  { std::ofstream(metrics, std::ios::app) << "not json\n{\"step\":1}\n"; }
  CHECK(contains(error_of<IoError>([&] { run.rewind_metrics(5); }), "line 1 is not a JSON object"));
}

TEST_CASE("run folder: checkpoints are complete or absent, and pruning keeps the best") {
  const TemporaryFolder temporary;
  const fs::path path = temporary.path();
  RunFolder run = create(path);
  CHECK(!newest_checkpoint(path));
  for (const int step : {5, 10, 20, 10000000}) save_step(run, step);
  CHECK(steps(path) == Steps{5, 10, 20, 10000000});
  CHECK(fs::exists(path / "checkpoints" / "step_0000005" / "DONE"));
  CHECK(read_file(path / "latest" / "model.h5") == "10000000");
  run.mark_best(10);
  CHECK(best_checkpoint(path)->step == 10);
  run.prune_checkpoints(2);
  CHECK(steps(path) == Steps{10, 20, 10000000});
  run.mark_best(20);
  run.prune_checkpoints(1);
  CHECK(steps(path) == Steps{20, 10000000});
  CHECK(read_file(path / "best" / "model.h5") == "20");
  CHECK_THROWS_AS(run.mark_best(10), IoError);
  CHECK_THROWS_AS(run.prune_checkpoints(0), ValueError);

  const auto failing = [](const fs::path& folder) {
    CHECK(fs::is_empty(folder));  // above all without DONE
    write_file_atomic(folder / "model.h5", std::string_view("half"));
    throw IoError("disk full");
  };
  CHECK_THROWS_AS(run.save_checkpoint(30, failing), IoError);
  CHECK_THROWS_AS(run.save_checkpoint(20, failing), IoError);
  CHECK(steps(path) == Steps{20, 10000000});
  CHECK(holds_step(*best_checkpoint(path)));
  save_step(run, 20);
  CHECK(steps(path) == Steps{20, 10000000});
  CHECK(std::distance(fs::directory_iterator(path / "checkpoints"), {}) == 2);
}

TEST_CASE("run folder: resume clears unfinished checkpoints and finishes one that lacked only its name") {
  const TemporaryFolder temporary;
  const fs::path path = temporary.path(), checkpoints = path / "checkpoints";
  {
    RunFolder run = create(path);
    save_step(run, 1);
    save_step(run, 2);
  }
  fs::rename(checkpoints / "step_0000002", checkpoints / ".tmp-step_0000002");
  fs::create_directory(checkpoints / ".tmp-step_0000003");
  fs::create_directory(checkpoints / ".tmp-old-step_0000001");
  fs::create_directory(checkpoints / "step_0000004");
  fs::create_directory(checkpoints / "step_notes");
  CHECK(steps(path) == Steps{1});
  RunFolder::resume(path, "r");
  CHECK(steps(path) == Steps{1, 2});
  CHECK(fs::read_symlink(path / "latest") == "checkpoints/step_0000002");
  CHECK(std::distance(fs::directory_iterator(checkpoints), {}) == 3);  // a folder that is not ours stays
}

TEST_CASE("run folder: after SIGKILL at any time every listed checkpoint is whole and none is lost") {
  // In memory a save takes 0.2 ms, so that a few kills meet every stage of one; syncing a disk would hide most stages.
  const fs::path memory = "/dev/shm";
  const TemporaryFolder temporary(fs::is_directory(memory) ? memory : fs::temp_directory_path());
  const fs::path path = temporary.path();
  { create(path); }
  std::mt19937 random(3);
  std::int64_t reached = 0;
  for (int round = 0; round < 25; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      try {
        RunFolder run = RunFolder::resume(path, "r");
        const auto newest = newest_checkpoint(path);
        // Every step is saved twice: the second time replaces a complete checkpoint.
        for (std::int64_t step = newest ? newest->step : 1;; ++step) {
          save_step(run, step);
          save_step(run, step);
          if (step % 3 == 0) run.mark_best(step);
          run.write_metrics(step, {{"loss/total", 1.}});
          run.prune_checkpoints(2);
        }
      } catch (...) {
        ::_exit(1);
      }
    }
    ::usleep(static_cast<useconds_t>(500 + random() % 12000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    for (const Checkpoint& checkpoint : list_checkpoints(path)) CHECK(holds_step(checkpoint));
    RunFolder run = RunFolder::resume(path, "r");
    const auto newest = newest_checkpoint(path);
    CHECK((newest ? newest->step : 0) >= reached);
    reached = newest ? newest->step : 0;
    run.rewind_metrics(reached);
    if (newest) CHECK(fs::read_symlink(path / "latest").filename() == newest->path.filename());
    for (const Checkpoint& checkpoint : list_checkpoints(path)) CHECK(holds_step(checkpoint));
  }
  CHECK(reached > 10);
}

TEST_CASE("run folder: a command line is quoted for the shell") {
  CHECK(shell_command({"retort", "run", "job.yaml", "a.b=[1, 2]", "c=it's", ""}) ==
        "retort run job.yaml 'a.b=[1, 2]' 'c=it'\\''s' ''");
}
