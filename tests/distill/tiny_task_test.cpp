// tests/distill/tiny_task_test.cpp -- every preset runs on the built-in tiny task, and its checks hold.
#include <doctest/doctest.h>

#include <regex>

#include "distill/train/method_check.h"
#include "distill/train/run.h"
#include "io/file.h"
#include "tests/io/test_files.h"

using namespace retort;

TEST_CASE("methods: every preset is planned and trains on the tiny task") {
  for (const auto& preset : method_presets()) {
    const std::string& slug = preset.first;
    CAPTURE(slug);
    const test::TemporaryFolder folder;
    const OpenedJob opened = open_job(slug, {"job.task=tiny", "job.output_dir=" + folder.path()});
    Job planned = build_job(opened.config, opened.file, kMeta);
    CHECK(plan_job(planned).peak > 0);
    Job job = build_job(opened.config, opened.file, kCpu);
    RunFolder run = RunFolder::create(job.folder, {job.raw, job.resolved, "test", "{}"});
    const RunResult result = run_job(job, run, {});
    CHECK(result.finished);
    CHECK(result.evaluations.empty() == !job.eval.data.set);
    for (const auto& [words, e] : result.evaluations) CHECK(std::isfinite(e.cross_entropy));
  }
}

TEST_CASE("run: the report numbers the classes that a network knows beyond the set's") {
  const test::TemporaryFolder folder;
  const OpenedJob opened = open_job("ce", {"job.task=tiny", "job.output_dir=" + folder.path(), "run.steps=1",
                                           "models.student.arch=convnet(widths=8x12 depth=1 norm=batch classes=400)",
                                           "optim={default: {sgd: {lr: 0}}}"});
  Job job = build_job(opened.config, opened.file, kCpu);
  RunFolder run = RunFolder::create(job.folder, {job.raw, job.resolved, "test", "{}"});
  run_job(job, run, {});
  const std::string page = read_file(run.path() / "report.html");
  CHECK(std::regex_search(page, std::regex("class [0-9]+")));  // of 400 the likeliest is seldom one of the four
}
