// tests/distill/fixed_point_test.cpp -- diffusion objectives with exact teachers run to their known fixed points.
#include <doctest/doctest.h>

#include "distill/diffusion/oracle_net.h"
#include "distill/train/run.h"
#include "tests/io/test_files.h"

using namespace retort;

namespace {
/// Shift and absolute scale of the student x = m + s z after `steps` of a method against N((.7, -.3), 1.14^2).
std::pair<std::vector<double>, std::vector<double>> student_after(const std::string& slug, int steps,
                                                                  std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"job.task=tiny", fmt::format("run.steps={}", steps)});
  const OpenedJob opened = open_job(slug, overrides);
  Job job = build_job(opened.config, opened.file, kCpu);
  Trainer trainer(job.setup);
  while (!trainer.finished()) trainer.advance();
  const auto& student = dynamic_cast<const AffineNet&>(*job.setup.roles.at("student").model);
  std::vector<double> scale = student.scale.value.values();
  for (double& s : scale) s = std::abs(s);
  return {student.shift.value.values(), scale};
}
}  // namespace

TEST_CASE("fixed points: a Gaussian student ends at the Gaussian teacher's mean and deviation") {
  for (const char* slug : {"diff-instruct", "sid"}) {
    CAPTURE(slug);
    const auto [mean, deviation] = student_after(slug, 400);
    CHECK(mean[0] == doctest::Approx(.7).epsilon(.08));
    CHECK(mean[1] == doctest::Approx(-.3).epsilon(.2));
    for (const double s : deviation) CHECK(s == doctest::Approx(1.14).epsilon(.08));
  }
  // Without the tracker's share the student collapses onto the mode.
  const auto [mean, deviation] =
      student_after("diff-instruct", 400, {"method.terms.push.sum=[[1, x], [-1, teacher@z]]"});
  for (const double s : deviation) CHECK(s < .6);
}
