// tests/distill/top_k_test.cpp -- captured teachers: tables of likeliest tokens and their marks; memories of sources.
#include <doctest/doctest.h>

#include "distill/train/job.h"
#include "distill/train/state.h"
#include "distill/train/top_k_table.h"
#include "tests/distill/child.h"
#include "tests/io/test_files.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;
namespace fs = std::filesystem;

namespace {
Job job_of(const std::string& slug, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"job.task=tiny", "run.dtype=f64"});
  const OpenedJob opened = open_job(slug, overrides);
  return build_job(opened.config, opened.file, kCpu);
}

/// Losses of the steps that are left.
std::vector<double> losses(Trainer& trainer, int steps) {
  std::vector<double> all;
  for (int i = 0; i < steps; ++i) all.push_back(trainer.advance()[0].second);
  return all;
}
}  // namespace

TEST_CASE("top_k: training from a captured table is training from the teacher, tail and all") {
  const test::TemporaryFolder folder;
  Job stored = job_of("topk-cache");
  fill_tables(stored, folder.path());
  const fs::path file = top_k_file(stored.top_k[0], folder.path());
  REQUIRE(fs::exists(file));
  Job live = job_of("topk-cache", {"method.stores={}", "method.terms.kd.target=teacher"});
  Job read = job_of("topk-cache", {"method.stores.cache.file=" + file.string()});
  fill_tables(read, folder.path() + "/elsewhere");
  Trainer a(stored.setup), b(live.setup), c(read.setup);
  const auto x = losses(a, 4), y = losses(b, 4), z = losses(c, 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(x[i] == doctest::Approx(y[i]).epsilon(1e-12));
    CHECK(x[i] == z[i]);
    CHECK(x[i] > 0);
  }
}

TEST_CASE("top_k: a table of another teacher, of other texts or with another k is refused") {
  const test::TemporaryFolder folder;
  Job job = job_of("topk-cache");
  fill_tables(job, folder.path());
  const std::string file = "method.stores.cache.file=" + top_k_file(job.top_k[0], folder.path()).string();
  const auto refused = [&](const std::string& change, const char* why) {
    CAPTURE(change);
    Job other = job_of("topk-cache", {file, change});
    CHECK_THROWS_WITH_AS(fill_tables(other, folder.path() + "/elsewhere"), doctest::Contains(why), IoError);
  };
  refused("job.seed=2", "another teacher");
  refused("data.texts={kind: markov, count: 64, vocab: 16, prompt: 3, length: 12, seed: 9}", "other texts");
  refused("method.stores.cache.k=3", "3 outcomes");
}

TEST_CASE("top_k: `retort capture` writes the table and names the file") {
  const test::TemporaryFolder folder;
  const Ended e = Child({"capture", "topk-cache", "job.task=tiny", "job.output_dir=" + folder.path()},
                        fs::path(folder.path()) / "output")
                      .wait();
  INFO(e.output);
  CHECK(e.exit_code == 0);
  CHECK(e.output.find("cache.h5") != std::string::npos);
  CHECK(Child({"capture", "gkd", "job.task=tiny"}, fs::path(folder.path()) / "output").wait().exit_code == 2);
}

TEST_CASE("replay: a run continued from a checkpoint remembers what was fresh") {
  const std::vector<std::string> often{"method.numbers.phi=1", "method.numbers.fresh=.5", "run.steps=12"};
  const test::TemporaryFolder folder;
  Job whole = job_of("distillm", often);
  Trainer trainer(whole.setup);
  losses(trainer, 6);
  fs::create_directories(folder.path() + "/half");
  save_checkpoint(folder.path() + "/half", whole.setup, trainer, {.step = 6});
  const auto rest = losses(trainer, 6);
  Job half = job_of("distillm", often);
  Trainer again(half.setup);
  load_checkpoint(folder.path() + "/half", half.setup, again);
  CHECK(losses(again, 6) == rest);
  Job forgetful = job_of("distillm", {"method.numbers.phi=1", "method.numbers.fresh=1", "run.steps=12"});
  Trainer other(forgetful.setup);
  losses(other, 6);
  CHECK(losses(other, 6) != rest);
}
