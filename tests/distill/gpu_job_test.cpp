// tests/distill/gpu_job_test.cpp -- distillation jobs on the emulated GPU end where they end on the processor.
#include <doctest/doctest.h>

#include <optional>
#include <set>

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
const std::vector<std::string> kSmallTexts{
    "sources.default.batch=2", "data.texts.count=8",
    "models.student.arch=llama(context=16 width=8 depth=1 heads=2 kv_heads=1)",
    "models.teacher.arch=gpt2(context=16 width=8 depth=1 heads=2)",
    "eval={set: texts, batch: 32, teacher: teacher, roles: {student: student}, prompts: {set: texts, count: 2}}"};

struct Trained {
  std::vector<double> totals;             ///< the loss of every step
  std::vector<double> losses;             ///< of every term and step, and norms of gradients
  std::map<std::string, Tensor> weights;  ///< parameters and running statistics, on the host
  std::optional<Evaluation> evaluation;
  std::vector<std::string> captured;  ///< what the trainer says of it
};

/// Trains to the end; `weights` are those of every role that is trained.
Trained trained(Job& job, Device device, Capture capture) {
  Trainer trainer(job.setup, nullptr, {.capture = capture});
  Trained result;
  std::set<std::string> roles;
  while (!trainer.finished())
    for (const auto& [name, value] : trainer.advance()) {
      if (name == "loss/total") result.totals.push_back(value);
      if (name.starts_with("loss/") || name.starts_with("grad_norm/")) result.losses.push_back(value);
      if (name.starts_with("grad_norm/")) roles.insert(name.substr(10));
    }
  for (const std::string& name : roles) {
    Role& role = job.setup.roles.at(name);
    for (const auto& p : parameters_of(role)) {
      CHECK(p.parameter->value.device() == device);
      result.weights.emplace(name + "." + p.name, to(p.parameter->value, kCpu));
    }
    for (const auto& b : buffers_of(role)) result.weights.emplace(name + "." + b.name, to(b.buffer->value, kCpu));
  }
  result.captured = trainer.captured();
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
  if (!want.evaluation) return;
  CHECK(got.evaluation->cross_entropy == doctest::Approx(want.evaluation->cross_entropy).epsilon(1e-5));
  CHECK(got.evaluation->samples == want.evaluation->samples);
  if (!want.evaluation->text) return;
  CHECK(*got.evaluation->text->own_log_prob == doctest::Approx(*want.evaluation->text->own_log_prob).epsilon(1e-5));
  CHECK(*got.evaluation->text->kl_forward == doctest::Approx(*want.evaluation->text->kl_forward).epsilon(1e-5));
}

/// Bit for bit.
void check_identical(const Trained& got, const Trained& want) {
  CHECK(got.losses == want.losses);
  for (const auto& weight : want.weights) {
    CAPTURE(weight.first);
    CHECK(got.weights.at(weight.first).values() == weight.second.values());
  }
}

/// As it comes and captured, under two schedules. With Capture::on all of a step repeats; with `automatic` the job
/// draws how long its rollouts or texts are.
void check_on_gpu(Capture capture, std::initializer_list<gpu::Schedule> schedules,
                  const std::function<Trained(Device device, Capture capture)>& train) {
  const Trained cpu = train(kCpu, Capture::off);
  CHECK(cpu.totals.size() >= 20);
  const Trained plain = train(emulator(gpu::Schedule::forward), Capture::off);
  CHECK(plain.captured.empty());
  check_same(plain, cpu);
  for (const gpu::Schedule schedule : schedules) {
    const Trained captured = train(emulator(schedule), capture);
    check_same(captured, cpu);
    check_identical(captured, plain);
    REQUIRE(!captured.captured.empty());
    for (const std::string& line : captured.captured) {
      CAPTURE(line);
      CHECK((capture == Capture::automatic || line.find("as it comes") == std::string::npos));
      CHECK(line.find(", 0 replays") == std::string::npos);
    }
  }
}

void check_job(const std::string& student, std::vector<std::string> overrides) {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "kd", "", student);
  overrides.insert(overrides.end(), kSmall.begin(), kSmall.end());
  check_on_gpu(Capture::on, {gpu::Schedule::forward, gpu::Schedule::random}, [&](Device device, Capture capture) {
    Job job = tiny_job(file, overrides, device);
    fill_tables(job, file.parent_path() / "tables_of_run");
    Trained result = trained(job, device, capture);
    CHECK(result.totals.front() > 1.2 * result.totals.back());
    result.evaluation = evaluate_role(job, "student");
    return result;
  });
}

/// A method on the task that its preset names.
void check_task(const std::string& method, std::vector<std::string> overrides, Capture captured, bool evaluated) {
  overrides.insert(overrides.end(), {"job.task=tiny", "run.steps=20"});
  const OpenedJob opened = open_job(method, overrides);
  check_on_gpu(captured, {gpu::Schedule::random}, [&](Device device, Capture capture) {
    Job job = build_job(opened.config, opened.file, device);
    Trained result = trained(job, device, capture);
    if (evaluated) result.evaluation = evaluate_role(job, "student");
    return result;
  });
}
}  // namespace

TEST_CASE("gpu job: 20 steps of a convnet with batch norm end as on the processor, eager and captured") {
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

TEST_CASE("gpu job: 20 steps of a GPT on texts and on its own writing end as on the processor, and so do its scores") {
  check_task("gkd", kSmallTexts, Capture::automatic, true);
}

TEST_CASE("gpu job: 20 steps of a GPT on texts of one length repeat, and end as on the processor") {
  std::vector<std::string> overrides = kSmallTexts;
  overrides.push_back("method.numbers.lambda=0");
  check_task("gkd", overrides, Capture::on, false);
}

TEST_CASE("gpu job: a phase that does not repeat is an error with run.capture=on, which names what differs") {
  std::vector<std::string> overrides = kSmallTexts;
  overrides.insert(overrides.end(), {"job.task=tiny", "run.steps=12", "method.numbers.lambda=1",
                                     "sources.default.batch=4"});  // responses of ever other lengths
  const OpenedJob opened = open_job("gkd", overrides);
  Job job = build_job(opened.config, opened.file, emulator(gpu::Schedule::forward));
  std::string message;
  try {
    trained(job, emulator(gpu::Schedule::forward), Capture::on);
  } catch (const ConfigError& error) {
    message = error.what();
  }
  CAPTURE(message);
  CHECK(message.find("phase main (student) does not repeat: section ") != std::string::npos);
  CHECK(message.find("differ") != std::string::npos);
}

TEST_CASE("gpu job: 20 steps of a generator, its tracker and a head by DMD2 on Gaussians end as on the processor") {
  check_task("dmd2", {"sources.default.batch=16", "sources.data.batch=16"}, Capture::automatic, false);
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
                                     "run.capture=on",
                                     "models.teacher.arch=mlp(widths=16)",
                                     "sources.data.batch=8",
                                     "run.steps=4",
                                     "run.save_every=2"};
  const Ended ended = run(arguments);
  INFO(ended.output);
  CHECK(ended.exit_code == 0);
  CHECK(ended.output.find("capture: phase main (student): ") != std::string::npos);
  const auto checkpoints = std::filesystem::path(folder.path()) / "runs" / "tiny" / "checkpoints";
  const std::string whole = read_file(checkpoints / "step_0000004" / "model.h5");
  // Back to the middle, and on.
  std::filesystem::remove_all(checkpoints / "step_0000004");
  const Ended resumed = run({"resume", (std::filesystem::path(folder.path()) / "runs" / "tiny").string()});
  INFO(resumed.output);
  CHECK(resumed.exit_code == 0);
  CHECK(read_file(checkpoints / "step_0000004" / "model.h5") == whole);
  arguments[2] = "run.device=cpu";
  const Ended on_processor = run(arguments);
  CHECK(on_processor.exit_code == 2);
  CHECK(on_processor.output.find("run.capture: steps are captured on GPUs") != std::string::npos);
  if (gpu::cuda_devices() > 0) return;
  arguments[2] = "run.device=cuda";
  const Ended refused = run(arguments);
  CHECK(refused.exit_code == 12);
  CHECK(refused.output.find("hint: run.device=cpu") != std::string::npos);
}
