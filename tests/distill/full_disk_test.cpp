// tests/distill/full_disk_test.cpp -- runs whose disk is full end in an error that names the file, and lose nothing.
#include <doctest/doctest.h>
#include <sys/mount.h>

#include <cstring>

#include "distill/train/run.h"
#include "distill/train/state.h"
#include "io/checkpoint.h"
#include "tests/distill/child.h"
#include "tests/distill/tiny_job.h"

using namespace retort;
using namespace retort::testing;
namespace fs = std::filesystem;

namespace {
/// A checkpoint of this job is about 0.6 MB, half of it weights and half momentum.
const std::string kStudent = "mlp(widths=1024)";
const std::vector<std::string> kSaves{"run.steps=14", "run.save_every=2", "run.keep_last=100"};
constexpr int kIoError = 3;

/// An uninterrupted run with room enough, by which the others are judged.
fs::path whole_run(const fs::path& job, const fs::path& folder) {
  Job whole = tiny_job(job, kSaves);
  RunFolder run = RunFolder::create(folder / "whole", {whole.raw, whole.resolved, "test", "{}"});
  REQUIRE(run_job(whole, run, {}).finished);
  return folder / "whole";
}

/// Every complete checkpoint has the bytes of the same step of the whole run, and loads.
void check_checkpoints(const fs::path& run, const fs::path& whole, const fs::path& job) {
  const auto checkpoints = list_checkpoints(run);
  REQUIRE_FALSE(checkpoints.empty());
  for (const Checkpoint& c : checkpoints)
    for (const char* file : {"model.h5", "state.h5"})
      CHECK(read_file(c.path / file) == read_file(whole / "checkpoints" / c.path.filename() / file));
  Job loaded = tiny_job(job, kSaves);
  Trainer trainer(loaded.setup);
  CHECK(load_checkpoint(checkpoints.back().path, loaded.setup, trainer).step == checkpoints.back().step);
}

void check_end(const fs::path& run, const fs::path& whole) {
  for (const char* file : {"model.h5", "state.h5"})
    CHECK(read_file(run / "latest" / file) == read_file(whole / "latest" / file));
}

void check_error(const Ended& e, const std::string& path) {
  INFO(e.output);
  CHECK(e.signal == 0);
  CHECK(e.exit_code == kIoError);
  CHECK(e.output.find(path) != std::string::npos);
}
}  // namespace

TEST_CASE("full disk: a run on 3 MB stops with the file's name, and goes on where there is room") {
  const test::TemporaryFolder folder;
  const fs::path root = folder.path(), small = root / "small";
  fs::create_directory(small);
  if (mount("retort_test", small.c_str(), "tmpfs", 0, "size=3m") != 0) {
    MESSAGE("skipped: cannot mount a tmpfs (", std::strerror(errno), "); the limit on file sizes is tested instead");
    return;
  }
  struct Unmount {
    fs::path path;
    ~Unmount() { umount2(path.c_str(), MNT_DETACH); }
  } unmount{small};
  const auto job = write_tiny_job(root, "ce", "", kStudent);
  const fs::path whole = whole_run(job, root);
  std::vector<std::string> arguments{"run", job.string(), "job.output_dir=" + small.string()};
  arguments.insert(arguments.end(), kSaves.begin(), kSaves.end());
  check_error(Child(arguments, root / "output").wait(), (small / "tiny").string());
  check_checkpoints(small / "tiny", whole, job);
  // Nothing has room here: resuming fails in the same way, and looking still works.
  check_error(Child({"resume", (small / "tiny").string()}, root / "output").wait(), (small / "tiny").string());
  check_checkpoints(small / "tiny", whole, job);
  CHECK(Child({"eval", (small / "tiny").string()}, root / "output").wait().exit_code == 0);

  fs::copy(small / "tiny", root / "moved", fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  const Ended end = Child({"resume", (root / "moved").string()}, root / "output").wait();
  INFO(end.output);
  CHECK(end.exit_code == 0);
  check_end(root / "moved", whole);
}

TEST_CASE("full disk: a file that may not grow ends the run with its name, and the last checkpoint stays") {
  const test::TemporaryFolder folder;
  const fs::path root = folder.path(), cut = root / "cut";
  const auto job = write_tiny_job(root, "ce", "", kStudent);
  const fs::path whole = whole_run(job, root);
  {
    Job first = tiny_job(job, kSaves);
    RunFolder run = RunFolder::create(cut, {first.raw, first.resolved, "test", "{}"});
    RunObserver observer;
    int steps = 0;
    observer.stop_requested = [&] { return ++steps == 4; };
    CHECK_FALSE(run_job(first, run, observer).finished);
  }
  for (const rlim_t largest : {100000, 4096}) {  // within the weights, within the file's structure
    CAPTURE(largest);
    check_error(Child({"resume", cut.string()}, root / "output", largest).wait(), (cut / "checkpoints").string());
    check_checkpoints(cut, whole, job);
    CHECK(newest_checkpoint(cut)->step == 4);
  }
  const Ended end = Child({"resume", cut.string()}, root / "output").wait();
  INFO(end.output);
  CHECK(end.exit_code == 0);
  check_end(cut, whole);
}
