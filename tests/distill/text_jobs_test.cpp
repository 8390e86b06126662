// tests/distill/text_jobs_test.cpp -- the text jobs from data to report, on the project's own prose and small decoders.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "distill/train/run.h"
#include "io/file.h"
#include "retort_paths.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::TemporaryFolder;

namespace {
/// A text job on a page of docs, as far as `overrides` say nothing else.
struct TextJob {
  TextJob(const std::string& name, const TemporaryFolder& folder, std::vector<std::string> overrides = {}) {
    const std::string root = RETORT_SOURCE_ROOT;
    const std::string text = "{kind: text, files: ['" + root + "/docs/*.md', '" + root +
                             "/README.md'], held_out: .1, length: 48, pack: true, ";
    std::vector<std::string> all{"job.output_dir=" + folder.path(),
                                 "data={train: " + text + "split: train, prompt: 1}, starts: " + text +
                                     "split: train, prompt: 8}, valid: " + text + "split: valid, prompt: 1}, test: " +
                                     text + "split: test, prompt: 1}, prompts: " + text + "split: test, prompt: 8}}",
                                 "eval.prompts.count=6", "run.log_every=1", "run.save_every=0"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    file = find_job(name);
    config = read_job(file, all);
  }
  Job build(Device device = kCpu) const { return build_job(config, file, device); }
  RunResult run() const {
    Job job = build();
    RunFolder folder = RunFolder::create(job.folder, {job.raw, job.resolved, "test", "{}"});
    return run_job(job, folder, {});
  }
  std::filesystem::path file;
  Config config;
};

std::string trained_teacher(const TemporaryFolder& folder) {
  const TextJob teacher("text_teacher", folder,
                        {"models.student.arch=llama(context=48 width=24 depth=2 heads=2 hidden=48 head=tied)",
                         "run.steps=50", "sources.text.batch=8", "eval.every=0"});
  const RunResult r = teacher.run();
  CHECK(r.finished);
  CHECK(r.evaluations.at(0).second.text->bits_per_byte < 6);  // 8 is what knows nothing
  return newest_checkpoint(folder.file("text_teacher"))->path / "model.h5";
}

std::vector<std::string> small_student(const std::string& teacher) {
  return {"models={teacher: {init_from: " + teacher + "}, student: {arch: gpt2(context=48 width=12 depth=1 heads=2)}}",
          "sources.default.batch=8", "sources.starts.batch=8", "method.phases.0.steps=6", "method.phases.1.steps=12"};
}
}  // namespace

TEST_CASE("text jobs: a teacher, then students of GKD and DistiLLM; scores in logs, metrics and report") {
  const TemporaryFolder folder;
  const std::string teacher = trained_teacher(folder);
  for (const std::string name : {"text_gkd", "text_distillm"}) {
    CAPTURE(name);
    std::vector<std::string> overrides = small_student(teacher);
    if (name == "text_distillm") overrides.push_back("method.numbers.every=2");
    const TextJob job(name, folder, overrides);
    const std::int64_t peak = [&] {
      Job planned = job.build(kMeta);
      return plan_job(planned).peak;
    }();
    const RunResult r = job.run();
    REQUIRE(r.finished);
    CHECK(r.memory.allocator <= peak);
    REQUIRE(r.evaluations.size() == 3);
    for (const auto& evaluated : r.evaluations) {
      const std::string& words = evaluated.first;
      const Evaluation& e = evaluated.second;
      CAPTURE(words);
      REQUIRE(e.text);
      CHECK(e.text->bits_per_byte > e.cross_entropy / std::log(2.0));  // marks are paid for by bytes
      CHECK(e.text->shown.size() == 6);
      CHECK((words == "teacher") == (*e.text->kl_forward < 1e-6));
      CHECK(std::isfinite(*e.text->teacher_log_prob));
    }
    const auto metrics = read_metrics(folder.file(name));
    for (const char* metric : {"eval/ce/student", "eval/bpb/alone", "ppl/student", "kl/forward/student",
                               "kl/reverse/student", "own/log_prob/alone", "own/teacher_log_prob/student"})
      CHECK_MESSAGE(metrics.contains(metric), metric);
    CHECK(metrics.at("eval/ce/student").values.back() == r.evaluations[1].second.cross_entropy);
    const std::string page = read_file(folder.file(name) + "/report.html");
    for (const char* word : {"bits per byte", "Held-out text: student distilled", "Continuations: teacher", "&lt;&gt;"})
      CHECK_MESSAGE(page.find(word) != std::string::npos, word);
    CHECK(read_file(folder.file(name) + "/log.txt").find("student distilled bits per byte") != std::string::npos);
  }
}

TEST_CASE("text jobs: `best` follows bits per byte; what cannot be evaluated is refused") {
  const TemporaryFolder folder;
  const std::vector<std::string> small{"models.student.arch=gpt2(context=48 width=12 depth=1 heads=2)", "run.steps=4",
                                       "eval.every=2", "sources.text.batch=4", "eval.prompts.show=0"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), small.begin(), small.end());
    return TextJob("text_teacher", folder, more);
  };
  Job job = with({"run.keep_best=eval/bpb/student"}).build();
  CHECK(job.run.keep_best.metric == "eval/bpb/student");
  CHECK_FALSE(job.run.keep_best.higher);
  CHECK(with({}).build().run.keep_best.metric == "eval/ce/student");
  CHECK_THROWS_WITH_AS(with({"eval.set=tests"}).build(), doctest::Contains("data set"), ConfigError);
  CHECK_THROWS_WITH_AS(with({"eval.teacher=teacher"}).build(), doctest::Contains("role"), ConfigError);
  CHECK_THROWS_WITH_AS(with({"eval.prompts.set=prompt"}).build(), doctest::Contains("prompts"), ConfigError);
  CHECK_THROWS_WITH_AS(with({"eval.prompts.top_p=0"}).build(), doctest::Contains("top_p"), ConfigError);
}

TEST_CASE("trainer: a term of weight 0 is looked at in inference mode and moves nothing") {
  const auto job_of = [](const std::string& dropout, const std::string& terms) {
    const OpenedJob opened = open_job(
        "distillm",
        {"job.task=tiny", "run.dtype=f64",
         "models.student.arch=gpt2(context=64 width=16 depth=1 heads=2 dropout=" + dropout + ")",
         "method.phases=[{name: main, steps: job, update: [{train: [student], terms: " + terms + ", optim: job}]}]"});
    return build_job(opened.config, opened.file, kCpu);
  };
  const auto shown = [&](const std::string& dropout, const std::string& terms, const std::string& name) {
    Job job = job_of(dropout, terms);
    for (const auto& [key, value] : Trainer(job.setup).advance())
      if (key == "loss/" + name) return value;
    return std::nan("");
  };
  const std::string watched = "{kd: 1, valid: 0}", weighed = "{kd: 1, valid: 1e-9}";
  CHECK(shown("0.5", watched, "valid") == shown("0", watched, "valid"));
  CHECK(shown("0.5", weighed, "valid") != shown("0", weighed, "valid"));
  CHECK(shown("0", watched, "valid") == doctest::Approx(shown("0", weighed, "valid")));
  Job with = job_of("0.5", watched), without = job_of("0.5", "{kd: 1}"), half = job_of("0.5", "{kd: 1, valid: .5}");
  const auto g = Trainer(with.setup).gradients(0, 8), plain = Trainer(without.setup).gradients(0, 8),
             both = Trainer(half.setup).gradients(0, 8);
  for (const auto& [name, value] : g) {
    CHECK(value.values() == plain.at(name).values());
    CHECK(value.values() != both.at(name).values());
  }
}
