// tests/distill/trainer_test.cpp -- the trainer's arithmetic: denominators, splits, phases, who moves.
#include "distill/train/trainer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "distill/train/run.h"
#include "distill/train/state.h"
#include "tests/distill/tiny_job.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Largest relative difference between the gradients of one split and another.
double split_difference(const std::string& method, std::int64_t rows, const std::string& student) {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), method, "", student);
  Job job = tiny_job(file, {"run.dtype=f64"});
  Trainer trainer(job.setup);
  const auto whole = trainer.gradients(0, 32), cut = trainer.gradients(0, rows);
  double worst = 0, norm = 0;
  for (const auto& [name, g] : whole) {
    worst = std::max(worst, relative_error(cut.at(name), g));
    norm = std::max(norm, std::abs(g.values()[0]));
  }
  CHECK(norm > 0);
  return worst;
}
constexpr const char* kGroupNorm = "convnet(widths=8x8 depth=1 norm=group dropout=0.2)";
constexpr const char* kBatchNorm = "convnet(widths=8x8 depth=1 norm=batch dropout=0.2)";
}  // namespace

TEST_CASE("trainer: 1x32 and 4x8 micro-batches give one gradient for every method (f64, 1e-12)") {
  for (const char* method : {"ce", "kd", "dkd", "dist", "logit-std"}) {
    CAPTURE(method);
    CHECK(split_difference(method, 8, kGroupNorm) < 1e-12);
  }
}

TEST_CASE("trainer: batch norm in micro mode depends on the split, and is seen to") {
  CHECK(split_difference("kd", 8, kBatchNorm) > 1e-3);
  CHECK(split_difference("kd", 32, kBatchNorm) == 0.0);
}

TEST_CASE("trainer: roles that no update trains keep their bits") {
  const test::TemporaryFolder folder;
  Job job = tiny_job(write_tiny_job(folder.path(), "kd"));
  const std::uint32_t teacher = fingerprint(job.setup.roles.at("teacher"));
  const std::uint32_t student = fingerprint(job.setup.roles.at("student"));
  Trainer trainer(job.setup);
  while (!trainer.finished()) trainer.advance();
  CHECK(fingerprint(job.setup.roles.at("teacher")) == teacher);
  CHECK(fingerprint(job.setup.roles.at("student")) != student);
}

TEST_CASE("trainer: phases run in order, updates when they are due") {
  const test::TemporaryFolder folder;
  const std::string method =
      "\n  extends: kd\n  roles: {other: {net: student}}\n"
      "  terms: {fit: {kind: match, from: data, pred: {role: other, out: logits}, target: label, d: ce, reduce: "
      "sum/sample}}\n"
      "  phases:\n"
      "    - {name: first, steps: 3, update: [{train: [other], terms: {fit: 1}, optim: {sgd: {lr: .1}}}]}\n"
      "    - {name: second, steps: 4, update: [{train: [student], terms: {kd: 1}, optim: job}, "
      "{train: [other], every: 2, terms: {fit: 1}, optim: {sgd: {lr: .1}}}]}";
  Job job = tiny_job(write_tiny_job(folder.path(), method));
  Trainer trainer(job.setup);
  auto& student = job.setup.roles.at("student");
  auto& other = job.setup.roles.at("other");
  CHECK(trainer.total_steps() == 7);
  const auto student_at_start = fingerprint(student);
  for (int i = 0; i < 3; ++i) trainer.advance();
  CHECK(fingerprint(student) == student_at_start);
  CHECK(trainer.phase().name == "second");
  std::vector<bool> moved;
  while (!trainer.finished()) {
    const auto before = fingerprint(other);
    trainer.advance();
    moved.push_back(fingerprint(other) != before);
  }
  CHECK(moved == std::vector<bool>{true, false, true, false});
}

TEST_CASE("trainer: the loss falls on separable data") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "ce", "", "convnet(widths=8x8 depth=1 norm=group)");
  Job job = tiny_job(file, {"run.steps=120", "sources.data.augment=[]"});
  Trainer trainer(job.setup);
  const double first = trainer.advance()[0].second;
  double last = 0;
  while (!trainer.finished()) last = trainer.advance()[0].second;
  CHECK(last < 0.5 * first);
}

TEST_CASE("trainer: a loss that is not finite stops the step before it changes anything") {
  const test::TemporaryFolder folder;
  Job job = tiny_job(write_tiny_job(folder.path(), "ce"), {"optim.student.sgd.lr=1e30"});
  Trainer trainer(job.setup);
  std::string message;
  std::uint32_t before = 0;
  try {
    for (int i = 0; i < 12; ++i) {
      before = fingerprint(job.setup.roles.at("student"));
      trainer.advance();
    }
  } catch (const NumericError& e) {
    message = e.what();
  }
  CHECK(message.find("not finite") != std::string::npos);
  CHECK(message.find("step ") != std::string::npos);
  CHECK(fingerprint(job.setup.roles.at("student")) == before);
}

TEST_CASE("trainer: FitNet's hint trains the student's head with it") {
  const test::TemporaryFolder folder;
  Job job = tiny_job(write_tiny_job(folder.path(), "fitnet"));
  Trainer trainer(job.setup);
  const auto g = trainer.gradients(0);
  CHECK(g.contains("student/heads.hint.conv.weight"));
  CHECK(relative_error(g.at("student/heads.hint.conv.weight"),
                       Tensor::zeros(g.at("student/heads.hint.conv.weight").shape())) > 0);
  const double first = trainer.advance()[0].second;
  double last = first;
  while (!trainer.finished()) last = trainer.advance()[0].second;
  CHECK(last < first);
}

TEST_CASE("plan: the peak predicted on shapes alone is the peak of the run within 10 %") {
  for (const char* overrides : {"run.micro_batch=0", "run.micro_batch=8"}) {
    const test::TemporaryFolder folder;
    const auto file = write_tiny_job(folder.path(), "dist");
    std::int64_t predicted = 0, real = 0;
    {
      const MemoryScope scope(Ref<MemoryAccount>(new MemoryAccount));
      Job job = tiny_job(file, {overrides}, kMeta);
      predicted = plan_job(job).peak;
    }
    {
      const MemoryScope scope(Ref<MemoryAccount>(new MemoryAccount));
      Job job = tiny_job(file, {overrides});
      RunFolder run = RunFolder::create(folder.file("run"), {job.raw, job.resolved, "test", "{}"});
      run_job(job, run, {});
      real = MemoryAccount::current_account().peak();
    }
    CAPTURE(predicted);
    CAPTURE(real);
    CHECK(std::abs(static_cast<double>(predicted) / static_cast<double>(real) - 1) < 0.1);
  }
}
