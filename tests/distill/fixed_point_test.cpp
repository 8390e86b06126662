// tests/distill/fixed_point_test.cpp -- diffusion objectives with exact teachers run to their known fixed points.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "distill/diffusion/image_net.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/text/table_lm.h"
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

/// First coordinates of the particles of the student after `steps` of a method.
std::vector<double> particles_after(const std::string& slug, int steps, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"job.task=tiny", fmt::format("run.steps={}", std::max(steps, 1))});
  const OpenedJob opened = open_job(slug, overrides);
  Job job = build_job(opened.config, opened.file, kCpu);
  Trainer trainer(job.setup);
  for (int i = 0; i < steps; ++i) trainer.advance();
  const Tensor& images = dynamic_cast<const ImageNet&>(*job.setup.roles.at("student").model).images.value;
  const std::vector<double> all = images.values();
  std::vector<double> first;
  for (std::size_t i = 0; i < all.size(); i += static_cast<std::size_t>(images.size(1))) first.push_back(all[i]);
  return first;
}

struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments(const std::vector<double>& values) {
  Moments m;
  for (const double v : values) m.mean += v / static_cast<double>(values.size());
  for (const double v : values) m.deviation += (v - m.mean) * (v - m.mean) / static_cast<double>(values.size());
  m.deviation = std::sqrt(m.deviation);
  return m;
}
/// Largest KL(s || p) over the words that a table student and a table teacher may stand at, after `steps`.
double gap_after(const std::string& slug, int steps, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(),
                   {"job.task=tiny", fmt::format("run.steps={}", steps), "models.teacher.arch=table(order=1 spread=1)",
                    "models.student.arch=table(order=1 spread=0)",
                    "data={texts: {kind: markov, count: 64, vocab: 7, prompt: 2, length: 10, sharpness: 0}}",
                    "sources.default.batch=32", "optim.default={adam: {lr: .1, betas: [.5, .99]}, schedule: cosine}"});
  const OpenedJob opened = open_job(slug, overrides);
  Job job = build_job(opened.config, opened.file, kCpu);
  Trainer trainer(job.setup);
  while (!trainer.finished()) trainer.advance();
  const auto table = [&](const char* role) {
    return dynamic_cast<const TableLm&>(*job.setup.roles.at(role).model).table.value.values();
  };
  const auto student = table("student"), teacher = table("teacher");
  const std::size_t words = 7 - 4;  // the rest are marks, which no text of the set holds
  double worst = 0;
  for (std::size_t word = 0; word < words; ++word) {
    const auto log_law = [&](const std::vector<double>& rows, std::size_t v) {
      double top = rows[word], total = 0;
      for (std::size_t k = 0; k < 7; ++k) top = std::max(top, rows[k * 7 + word]);
      for (std::size_t k = 0; k < 7; ++k) total += std::exp(rows[k * 7 + word] - top);
      return rows[v * 7 + word] - top - std::log(total);
    };
    double kl = 0;
    for (std::size_t v = 0; v < 7; ++v) {
      const double s = log_law(student, v);
      kl += std::exp(s) * (s - log_law(teacher, v));
    }
    worst = std::max(worst, kl);
  }
  return worst;
}

const std::string kGaussian = "models.teacher.arch=gaussian(.7 -.3 std=1.14 schedule=vp)";
const std::string kOneClass = "sources.default.conditions={given: 0, negative: 0, source: 0}";
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

TEST_CASE("fixed points: SDS collapses onto the prompt's mean, variational scores keep the teacher's deviation") {
  const std::string unguided = "method.numbers.s=1";
  for (const char* slug : {"sds", "ism", "d-sds"}) {
    CAPTURE(slug);
    const Moments m = moments(particles_after(slug, 300, {kGaussian, kOneClass, unguided}));
    CHECK(m.mean == doctest::Approx(.7).epsilon(.1));
    CHECK(m.deviation < .15);
  }
  const Moments m = moments(particles_after("vsd", 400, {kGaussian, kOneClass}));
  CHECK(m.mean == doctest::Approx(.7).epsilon(.08));
  CHECK(m.deviation == doctest::Approx(1.14).epsilon(.08));
}

TEST_CASE("fixed points: the delta score moves every sample by the distance between the prompts' means") {
  const std::vector<double> begin = particles_after("dds", 0);
  const auto distance = [&](const std::string& override) {
    const std::vector<double> end = particles_after("dds", 200, {"method.numbers.s=1", override});
    std::vector<double> moved;
    for (std::size_t i = 0; i < end.size(); ++i) moved.push_back(end[i] - begin[i]);
    return moments(moved);
  };
  const Moments moved = distance("sources.default.conditions.source=2");
  CHECK(moved.mean == doctest::Approx(.7 - .2).epsilon(.02));
  CHECK(moved.deviation < .02);
  CHECK(std::abs(distance("sources.default.conditions.source=0").mean) < 1e-6);
}

TEST_CASE("fixed points: editing and consistency of one prompt leave samples where they are") {
  const auto moved = [](const std::string& slug, std::vector<std::string> overrides) {
    overrides.insert(overrides.end(), {kOneClass, "optim.student={sgd: {lr: 1}}"});
    const std::vector<double> begin = particles_after(slug, 0, overrides), end = particles_after(slug, 20, overrides);
    double most = 0;
    for (std::size_t i = 0; i < end.size(); ++i) most = std::max(most, std::abs(end[i] - begin[i]));
    return most;
  };
  CHECK(moved("ssd-edit", {kGaussian}) < 1e-5);
  CHECK(moved("ssd-edit", {kGaussian, "method.terms.push.sum=[[1, teacher(source)@z], [-1, noise]]"}) > .1);
  const std::string point = "models.teacher.arch=gaussian(.7 -.3 std=.0001 schedule=vp)";
  CHECK(moved("gcs", {point}) < 1e-4);  // all of its answers are the point
  CHECK(moved("gcs", {}) > .1);
}

TEST_CASE("fixed points: repelled particles do not collapse") {
  const std::vector<std::string> here{kGaussian, kOneClass, "method.numbers.s=1", "method.terms.repel.pred=z",
                                      "method.terms.repel.target=z"};
  const auto after = [&](const std::string& gamma) {
    std::vector<std::string> overrides = here;
    overrides.push_back("method.numbers.gamma=" + gamma);
    return moments(particles_after("rsd-repulsive", 300, overrides));
  };
  const Moments apart = after("1.5"), together = after("0");
  CHECK(apart.deviation > .4);
  CHECK(together.mean == doctest::Approx(.7).epsilon(.1));
  CHECK(together.deviation < .15);
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

namespace {
/// How far mean and deviation of the student are from those of the data, at most.
double away_after(const std::string& slug, int steps, const std::vector<std::string>& overrides = {}) {
  const auto [mean, deviation] = student_after(slug, steps, overrides);
  double away = std::max(std::abs(mean[0] - .7), std::abs(mean[1] + .3));
  for (const double s : deviation) away = std::max(away, std::abs(s - 1.14));
  return away;
}
}  // namespace

TEST_CASE("fixed points: students of flow maps end at the exact map of the data's law") {
  CHECK(away_after("solver-kd", 100, {"method.terms.fit.step.by=n(8 heun)"}) < .03);
  CHECK(away_after("guidance-kd", 150) < .03);
  CHECK(away_after("pcm", 150, {"method.terms.cd.step.by=n(2 heun)"}) < .03);
  CHECK(away_after("scm", 200, {"method.numbers.r=1"}) < .03);
  CHECK(away_after("meanflow", 300) < .08);
  // Targets that follow slowly, and levels that are close, are right too but take their time.
  std::vector<std::string> coarse{"method.terms.cd.pair=grid(8)", "method.terms.cd.step.by=n(3 heun)",
                                  "method.terms.cd.target=self"};
  for (const char* role : {"teacher", "student"})
    coarse.push_back(fmt::format("models.{}.arch=gaussian({} schedule=ve(.002 5) answer=map)", role,
                                 role[0] == 't' ? ".7 -.3 std=1.14" : "0 0 std=.7"));
  CHECK(away_after("cd", 200, coarse) < .03);
  CHECK(away_after("shortcut", 200, {"method.terms.bootstrap.target=self"}) < .08);
  // Without the derivative, or with its sign turned, they end elsewhere.
  CHECK(away_after("scm", 200, {"method.numbers.r=0"}) > .1);
  CHECK(away_after("meanflow", 300, {"method.terms.mean.tangent={warmup: -1}"}) > .1);
}

TEST_CASE("fixed points: a reflowed student joins noise and data by straight lines") {
  const std::string fewer = "method.terms.flow.points.end=step(e noisy clean steps=8 by=heun)";
  CHECK(away_after("reflow", 150, {fewer}) < .03);
  CHECK(away_after("reflow", 150, {fewer, "method.terms.flow.points.velocity=compose(v x t)"}) > .1);
}

TEST_CASE("fixed points: SURE finds the clean law behind noisy measurements") {
  const std::string noisy = "sources.data.law=gaussian(.7 -.3 std=1.2447489706)";  // 1.14^2 + .5^2
  CHECK(away_after("sure-score", 300, {noisy, "method.numbers.c=0"}) < .06);
  const std::string alone =
      "method.phases=[{name: main, steps: job, update: [{train: [student], terms: {error: 1}, optim: job}]}]";
  CHECK(away_after("sure-score", 300, {noisy, alone}) > .3);
}

TEST_CASE(
    "fixed points: a table student ends at the table teacher's law, on data, on own responses, from drawn tokens") {
  for (const char* slug : {"gkd", "distillspec", "distillm"}) {
    CAPTURE(slug);
    CHECK(gap_after(slug, 120) < .02);
  }
  CHECK(gap_after("word-kd", 120, {"method.numbers.a=0"}) < .02);
  CHECK(gap_after("word-kd", 120) > .05);  // the data's own law is another
  CHECK(gap_after("on-policy", 400) < .05);
  CHECK(gap_after("on-policy", 100, {"method.terms.pg.advantage=[[-1, log_ratio(teacher student)]]"}) > .2);
}
