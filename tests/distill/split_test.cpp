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
  bool any = false;
  for (const UpdateSpec& update : setup.phases[0].updates)
    for (const std::string& role : update.train) any = any || !buffers_of(setup.roles.at(role)).empty();
  return any;
}
}  // namespace

TEST_CASE("methods: 1x32 and 4x8 micro-batches give one gradient in every phase (f64, 1e-12)") {
  int compared = 0;
  for (const auto& [slug, text] : method_presets()) {
    CAPTURE(slug);
    const OpenedJob opened =
        open_job(slug, {"job.task=tiny", "run.dtype=f64", "models.student.arch=convnet(widths=8x12 depth=1 norm=group)",
                        "models.teacher.arch=convnet(widths=12x16 depth=1 norm=group)"});
    Job job = build_job(opened.config, opened.file, kCpu);
    if (normalises_batches(job.setup)) continue;
    Trainer trainer(job.setup);
    std::int64_t start = 0;
    for (const PhaseSpec& phase : job.setup.phases) {
      trainer.seek(start);
      start += phase.steps;
      for (std::size_t u = 0; u < phase.updates.size(); ++u)
        CHECK(difference(trainer.gradients(u, 32), trainer.gradients(u, 8)) < 1e-12);
      ++compared;
    }
  }
  CHECK(compared > 20);
}
