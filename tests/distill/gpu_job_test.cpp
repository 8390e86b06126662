// tests/distill/gpu_job_test.cpp -- distillation jobs on the emulated GPU end where they end on the processor.
#include <doctest/doctest.h>

#include "distill/train/run.h"
#include "distill/train/state.h"
#include "tensor/transfer.h"
#include "tests/distill/child.h"
#include "tests/distill/tiny_job.h"
#include "tests/emulators.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
const std::vector<std::string> kSmall{"sources.data.batch=8", "run.steps=20"};

struct Trained {
  std::vector<double> totals;             ///< the loss of every step
  std::vector<double> losses;             ///< of every term and step, and norms of gradients
  std::map<std::string, Tensor> weights;  ///< parameters and running statistics of the student, on the host
  Evaluation evaluation;
};

Trained trained_on(Device device, const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  Job job = tiny_job(file, overrides, device);
  fill_tables(job, file.parent_path() / "tables_of_run");
  Trainer trainer(job.setup);
  Trained result;
  while (!trainer.finished())
    for (const auto& [name, value] : trainer.advance()) {
      if (name == "loss/total") result.totals.push_back(value);
      if (name.starts_with("loss/") || name.starts_with("grad_norm/")) result.losses.push_back(value);
    }
  Role& student = job.setup.roles.at("student");
  for (const auto& p : parameters_of(student)) {
    CHECK(p.parameter->value.device() == device);
    result.weights.emplace(p.name, to(p.parameter->value, kCpu));
  }
  for (const auto& b : buffers_of(student)) result.weights.emplace(b.name, to(b.buffer->value, kCpu));
  result.evaluation = evaluate_role(job, "student");
  return result;
}

void check_same(const Trained& got, const Trained& want) {
  REQUIRE(got.losses.size() == want.losses.size());
  for (std::size_t i = 0; i < want.losses.size(); ++i) {
    CAPTURE(i);
    CHECK(got.losses[i] == doctest::Approx(want.losses[i]).epsilon(1e-5));
  }
  for (const auto& weight : want.weights) {
    CAPTURE(weight.first);
    CHECK(relative_error(got.weights.at(weight.first), weight.second) <= 1e-5);
  }
  CHECK(got.evaluation.cross_entropy == doctest::Approx(want.evaluation.cross_entropy).epsilon(1e-5));
  CHECK(got.evaluation.samples == want.evaluation.samples);
}

void check_job(const std::string& student, std::vector<std::string> overrides) {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd", "", student);
  overrides.insert(overrides.end(), kSmall.begin(), kSmall.end());
  const Trained cpu = trained_on(kCpu, file, overrides);
  CHECK(cpu.totals.size() == 20);
  CHECK(cpu.totals.front() > 1.2 * cpu.totals.back());
  for (const gpu::Schedule schedule : {gpu::Schedule::forward, gpu::Schedule::random})
    check_same(trained_on(emulator(schedule), file, overrides), cpu);
}
}  // namespace

TEST_CASE("gpu job: 20 steps of a convnet with batch norm end as on the processor, under two schedules") {
  check_job("convnet(widths=4x6 depth=1 stem=1 norm=batch act=relu dropout=0.2)",
            {"models.teacher.arch=convnet(widths=6x6 depth=1 norm=batch)",
             "optim.student={adamw: {lr: 4.0e-3, wd: .05}, schedule: cosine(warmup=.15)}"});
}

TEST_CASE("gpu job: 20 steps of an MLP with clipping and a table of answers end as on the processor") {
  check_job("mlp(widths=16)",
            {"models.teacher={arch: mlp(widths=24), mode: cached}", "sources.data.augment=[]",
             "method.phases=[{name: main, steps: job, update: [{train: [student], terms: {ce: a, kd: b}, optim: job, "
             "clip: .5}]}]"});
}

TEST_CASE("gpu job: run.device=emu trains, saves and resumes; cuda is refused with a hint where there is none") {
  const test::TemporaryFolder folder;
  const auto job = write_tiny_job(folder.path(), "kd", "", "mlp(widths=16)").string();
  const auto run = [&](std::vector<std::string> arguments) {
    return Child(arguments, std::filesystem::path(folder.path()) / "output").wait();
  };
  std::vector<std::string> arguments{"run",
                                     job,
                                     "run.device=emu",
                                     "models.teacher.arch=mlp(widths=16)",
                                     "sources.data.batch=8",
                                     "run.steps=4",
                                     "run.save_every=2"};
  const Ended ended = run(arguments);
  INFO(ended.output);
  CHECK(ended.exit_code == 0);
  const auto checkpoints = std::filesystem::path(folder.path()) / "runs" / "tiny" / "checkpoints";
  const std::string whole = read_file(checkpoints / "step_0000004" / "model.h5");
  // Back to the middle, and on.
  std::filesystem::remove_all(checkpoints / "step_0000004");
  const Ended resumed = run({"resume", (std::filesystem::path(folder.path()) / "runs" / "tiny").string()});
  INFO(resumed.output);
  CHECK(resumed.exit_code == 0);
  CHECK(read_file(checkpoints / "step_0000004" / "model.h5") == whole);
  if (gpu::cuda_devices() > 0) return;
  arguments[2] = "run.device=cuda";
  const Ended refused = run(arguments);
  CHECK(refused.exit_code == 12);
  CHECK(refused.output.find("hint: run.device=cpu") != std::string::npos);
}
