// tests/distill/fixed_point_test.cpp -- diffusion objectives with exact teachers run to their known fixed points.
#include <doctest/doctest.h>

#include "distill/diffusion/oracle_net.h"
#include "distill/train/run.h"
#include "tests/io/test_files.h"

using namespace retort;

namespace {
/// Mean and deviation of a Gaussian student (x = m + s z, or a closed form) after `steps` of a method whose teacher or
/// data are N((.7, -.3), 1.14^2).
std::pair<std::vector<double>, std::vector<double>> student_after(const std::string& slug, int steps,
                                                                  std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"job.task=tiny", fmt::format("run.steps={}", steps)});
  const OpenedJob opened = open_job(slug, overrides);
  Job job = build_job(opened.config, opened.file, kCpu);
  Trainer trainer(job.setup);
  while (!trainer.finished()) trainer.advance();
  const Model& student = *job.setup.roles.at("student").model;
  if (const auto* law = dynamic_cast<const OracleNet*>(&student))
    return {law->means().values(), law->deviations().values()};
  const auto& affine = dynamic_cast<const AffineNet&>(student);
  std::vector<double> scale = affine.scale.value.values();
  for (double& s : scale) s = std::abs(s);
  return {affine.shift.value.values(), scale};
}
}  // namespace

TEST_CASE("fixed points: a Gaussian student ends at the Gaussian teacher's mean and deviation") {
  for (const char* slug : {"diff-instruct", "sid", "sim"}) {
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

TEST_CASE("fixed points: a denoiser learns the law of its data") {
  for (const char* slug : {"dsm", "edm", "flow-matching"}) {
    CAPTURE(slug);
    const auto [mean, deviation] = student_after(slug, 400);
    CHECK(mean[0] == doctest::Approx(.7).epsilon(.08));
    CHECK(mean[1] == doctest::Approx(-.3).epsilon(.2));
    for (const double s : deviation) CHECK(s == doctest::Approx(1.14).epsilon(.08));
  }
  // The noise alone is the velocity of data that lie in the origin.
  const auto [mean, deviation] = student_after("flow-matching", 400, {"method.terms.flow.target=noise"});
  for (const double s : deviation) CHECK(s < .5);
}

TEST_CASE("fixed points: a student of four steps ends at its teacher") {
  const auto [mean, deviation] = student_after("decoupled-dmd", 600);
  CHECK(mean[0] == doctest::Approx(.7).epsilon(.08));
  CHECK(mean[1] == doctest::Approx(-.3).epsilon(.2));
  for (const double s : deviation) CHECK(s == doctest::Approx(1.14).epsilon(.08));
}
