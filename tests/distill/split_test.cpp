// tests/distill/split_test.cpp -- the gradient of every built-in method, in every phase, is that of the global batch
// however it is cut, unless batch norm looks at micro-batches.
#include <doctest/doctest.h>

#include <cmath>

#include "distill/train/job.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// |cut - whole| / |whole| over all parameters.
double difference(const std::map<std::string, Tensor>& whole, const std::map<std::string, Tensor>& cut) {
  double apart = 0, norm = 0;
  for (const auto& [name, g] : whole) {
    const auto a = g.values(), b = cut.at(name).values();
    for (std::size_t i = 0; i < a.size(); ++i) {
      apart += (a[i] - b[i]) * (a[i] - b[i]);
      norm += a[i] * a[i];
    }
  }
  return norm == 0 ? std::sqrt(apart) : std::sqrt(apart / norm);
}

bool normalises_batches(Setup& setup) {
  for (const auto& [name, role] : setup.roles)
    if (role.batch_statistics) return true;
  for (const UpdateSpec& update : setup.phases[0].updates)
    for (const std::string& role : update.train)
      for (const NamedBuffer& b : buffers_of(setup.roles.at(role)))
        if (b.name.find("running_mean") != std::string::npos) return true;
  return false;
}

/// The method's trial in f64, its convolutional networks without batch norm.
Job trial(const std::string& slug) {
  std::vector<std::string> overrides{"job.task=tiny", "run.dtype=f64"};
  if (open_job(slug, overrides).file.stem() == "tiny")
    for (const char* model : {"student.arch=convnet(widths=8x12", "teacher.arch=convnet(widths=12x16"})
      overrides.push_back(fmt::format("models.{} depth=1 norm=group)", model));
  const OpenedJob opened = open_job(slug, overrides);
  return build_job(opened.config, opened.file, kCpu);
}
}  // namespace

TEST_CASE("methods: one, two and four micro-batches give one gradient in every phase (f64, 1e-12)") {
  int compared = 0;
  for (const auto& preset : method_presets()) {
    const std::string& slug = preset.first;
    CAPTURE(slug);
    Job job = trial(slug);
    if (job.setup.phases.empty()) continue;  // a sampler
    if (normalises_batches(job.setup)) continue;
    const std::int64_t rows = job.setup.sources.begin()->second->batch;
    Trainer trainer(job.setup);
    std::int64_t start = 0;
    for (const PhaseSpec& phase : job.setup.phases) {
      if (job.setup.trajectories.empty())
        trainer.seek(start);
      else
        while (trainer.step() < start) trainer.advance();  // weights must have been recorded
      start += phase.steps;
      for (std::size_t u = 0; u < phase.updates.size(); ++u) {
        const auto whole = trainer.gradients(u, rows);
        for (const int pieces : {2, 4}) {
          CAPTURE(pieces);
          CHECK(difference(whole, trainer.gradients(u, rows / pieces)) < 1e-12);
        }
      }
      ++compared;
    }
  }
  CHECK(compared > 20);
}
