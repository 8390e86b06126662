// tests/distill/few_step_test.cpp -- distribution matching, adversarial and drifting methods run to their known fixed
// points, and the parts they are made of.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/objectives/tables/entries.h"
#include "distill/train/answers.h"
#include "distill/train/run.h"
#include "distill/train/state.h"
#include "tensor/write.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
struct Law {
  std::vector<double> mean, deviation;
};

Job trial(const std::string& slug, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), "job.task=tiny");
  const OpenedJob opened = open_job(slug, overrides);
  return build_job(opened.config, opened.file, kCpu);
}

Law law_of(const Role& role) {
  if (const auto* law = dynamic_cast<const OracleNet*>(role.model.get()))
    return {law->means().values(), law->deviations().values()};
  const auto& affine = dynamic_cast<const AffineNet&>(*role.model);
  return {affine.shift.value.values(), abs(affine.scale.value).values()};
}

/// A role's law after the run, all updates at every step. A tracker's is that of the student's samples.
Law student_after(const std::string& slug, int steps, std::vector<std::string> overrides = {},
                  const std::string& role = "student") {
  overrides.push_back(fmt::format("run.steps={}", steps));
  Job job = trial(slug, overrides);
  for (PhaseSpec& phase : job.setup.phases)
    for (UpdateSpec& update : phase.updates) update.every = 1;
  Trainer trainer(job.setup);
  while (!trainer.finished()) trainer.advance();
  return law_of(job.setup.roles.at(role));
}

/// The teacher N((.7, -.3), 1.14^2) of the trials.
void check_teacher(const Law& law) {
  CHECK(law.mean[0] == doctest::Approx(.7).epsilon(.1));
  CHECK(law.mean[1] == doctest::Approx(-.3).epsilon(.25));
  for (const double s : law.deviation) CHECK(s == doctest::Approx(1.14).epsilon(.08));
}
}  // namespace

const std::vector<std::string> kSmall{"sources.default.batch=128", "sources.data.batch=128"};

TEST_CASE("fixed points: students of four steps end at the teacher by its scores") {
  for (const char* slug : {"dmd2", "decoupled-dmd", "f-distill", "fewstep-sid"}) {
    CAPTURE(slug);
    check_teacher(student_after(slug, 200, kSmall));
  }
}

TEST_CASE("fixed points: so do the samples of deterministic walks") {
  for (const char* slug : {"tdm", "cdm"}) {
    CAPTURE(slug);
    check_teacher(student_after(slug, 200, kSmall, "tracker"));
  }
}

TEST_CASE("fixed points: without scores a critic at every noise level leads to the data") {
  for (const char* slug : {"diffusion-gan", "diffratio"}) {
    CAPTURE(slug);
    check_teacher(student_after(slug, 200, kSmall));
  }
  // Told the wrong way round, it leads away from them.
  const Law away = student_after("diffratio", 100, {"method.terms.gan.fn=gan_fake(wgan)"});
  CHECK(std::abs(away.mean[0] - .7) > .5);
}

TEST_CASE("fixed points: expansions, paths of teachers, random features") {
  for (const char* slug : {"uni-instruct", "embedding-loss"}) {
    CAPTURE(slug);
    check_teacher(student_after(slug, 200, kSmall));
  }
  check_teacher(student_after("disback", 200, kSmall));
}

TEST_CASE("fixed points: drifting samples cover the data") {
  const Law law = student_after("drifting", 150, kSmall);
  CHECK(law.mean[0] == doctest::Approx(.7).epsilon(.1));
  CHECK(law.mean[1] == doctest::Approx(-.3).epsilon(.25));
  for (const double s : law.deviation) CHECK(s == doctest::Approx(1.14).epsilon(.08));
}

TEST_CASE("fixed points: a forgotten class becomes the one that overrides it, the other stays") {
  const std::vector<std::string> quick{"optim.student.adam.lr=.05", "sources.gen.batch=128",
                                       "sources.forget.batch=128"};
  std::vector<std::string> all = quick;
  all.push_back("method.numbers.mu=1");
  const Law law = student_after("sfd", 400, all);
  CHECK(law.mean[0] == doctest::Approx(2).epsilon(.06));
  CHECK(law.mean[2] == doctest::Approx(2).epsilon(.06));
  for (const double s : law.deviation) CHECK(s == doctest::Approx(1).epsilon(.12));
  // Without its share of the loss the class stays where it was, at -1.
  all.back() = "method.numbers.mu=0";
  CHECK(student_after("sfd", 50, all).mean[0] == doctest::Approx(-1));
}

TEST_CASE("fixed points: students of classes of their own end at those, and know nothing of the others") {
  const std::vector<std::string> small{"sources.gen.batch=128", "sources.second.batch=128"};
  const Law one = student_after("msd", 200, small), other = student_after("msd", 200, small, "other");
  CHECK(one.mean[2] == doctest::Approx(2).epsilon(.05));
  CHECK(other.mean[0] == doctest::Approx(-2).epsilon(.05));
  CHECK(one.mean[0] == doctest::Approx(-1));
  CHECK(other.mean[2] == doctest::Approx(1));
}

TEST_CASE("fixed points: moved noise follows the slope of a linear reward") {
  Job job = trial("hypernoise", {"run.steps=300", "method.numbers.w_r=.5"});
  Trainer trainer(job.setup);
  while (!trainer.finished()) trainer.advance();
  std::vector<double> slope;
  for (const NamedParameter& p : parameters_of(job.setup.roles.at("reward")))
    if (p.name == "head.weight") slope = p.parameter->value.values();
  const Law law = law_of(job.setup.roles.at("student"));
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(law.mean[i] == doctest::Approx(.5 * .8 * slope[i]).epsilon(.03));  // k W'a with W = .8
    CHECK(law.deviation[i] < .03);
  }
}

TEST_CASE("few steps: the target of disback ends at the teacher, and its nodes lie on the way to the student") {
  Job job = trial("disback", {"run.steps=60"});
  Trainer trainer(job.setup);
  for (int i = 0; i < 120; ++i) trainer.advance();
  const auto mean = [&](const char* role) { return law_of(job.setup.roles.at(role)).mean[0]; };
  CHECK(mean("teacher") > mean("node1"));
  CHECK(mean("node1") > mean("node2") - .05);
  CHECK(mean("path") == mean("node1"));
  CHECK(mean("tracker") == mean("node2"));
  for (int i = 0; i < 60; ++i) trainer.advance();
  CHECK(mean("path") == mean("teacher"));
}

TEST_CASE("few steps: the student of DMD2 moves at one step in five, the tracker at each") {
  Job job = trial("dmd2", {"run.steps=11"});
  Trainer trainer(job.setup);
  int student = 0, tracker = 0;
  while (!trainer.finished())
    for (const auto& [name, value] : trainer.advance()) {
      student += name == "lr/student";
      tracker += name == "lr/tracker";
    }
  CHECK(student == 3);  // steps 0, 5, 10
  CHECK(tracker == 11);
}

TEST_CASE("few steps: the push of f-distill in reverse KL is DMD2's, bit for bit") {
  const auto push = [](const std::string& slug, const std::vector<std::string>& more) {
    std::vector<std::string> overrides{"run.dtype=f64"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    Job job = trial(slug, overrides);
    UpdateSpec& update = job.setup.phases[0].updates[0];
    std::erase_if(update.terms, [](const auto& term) { return term.first != "push"; });
    update.group.resize(1);
    return Trainer(job.setup).gradients(0, 256);
  };
  const auto with = [&](const std::string& how) {
    return push("f-distill", {"method.terms.push.ratio={read: {role: critic, at: z, head: real}, " + how + "}"});
  };
  const auto dmd2 = push("dmd2", {}), plain = with("h: rkl, mean_one: false");
  const auto mean_one = with("h: rkl, mean_one: true"), other = with("h: fkl, mean_one: false");
  for (const auto& [name, g] : dmd2) {
    CHECK(plain.at(name).values() == g.values());
    CHECK(relative_error(mean_one.at(name), g) < 1e-13);
    CHECK(relative_error(other.at(name), g) > 1e-3);
  }
}

namespace {
double drift(const std::string& call, const Tensor& y, const Tensor& p, Tensor* gradient = nullptr) {
  Tape tape;
  Comparison c;
  c.preds = {tape.watch(y)};
  c.targets = {p};
  const Tensor value = sum(make_discrepancy(parse_call(call, "test"), {}).value(c));
  if (gradient) *gradient = tape.gradients(value, c.preds)[0];
  return stop_gradient(value).item();
}
}  // namespace

TEST_CASE("few steps: a drift of one width has loss 1, and its field knows neither place nor scale") {
  const Tensor y = randn({12, 3}, 1), p = randn({10, 3}, 2) + .4;
  Tensor here, shifted, scaled;
  CHECK(drift("drift(.1)", y, p, &here) == doctest::Approx(1).epsilon(1e-6));
  CHECK(drift("drift(.1)", y + 5.0, p + 5.0, &shifted) == doctest::Approx(1).epsilon(1e-5));
  CHECK(drift("drift(.1)", y * 4.0, p * 4.0, &scaled) == doctest::Approx(1).epsilon(1e-5));
  CHECK(relative_error(shifted, here) < 1e-4);
  CHECK(relative_error(scaled * 4.0, here) < 1e-4);
  CHECK(drift("drift(.05 .2)", y, p) > 1.01);
  // Towards the references: moving along minus the gradient brings the means closer.
  const Tensor moved = y - here * 2.0;
  CHECK(drift("mean_gap", moved, p) < drift("mean_gap", y, p));
}

TEST_CASE("few steps: anchors that are covered cost nothing") {
  const Tensor a = randn({8, 2}, 3);
  CHECK(drift("coverage(.5)", a, a) < drift("coverage(.5)", a + 6.0, a));
  CHECK(drift("coverage(0)", a + 6.0, a) == 0);
  CHECK(drift("mean_gap", a, a) == 0);
}

TEST_CASE("few steps: noise that leads on from a state, and how likely it is") {
  Job job = trial("tdm", {"run.dtype=f64"});
  const Setup& setup = job.setup;
  Pass pass{.step = 3, .rng = Rng(setup.seed)};
  const Batch b = setup.sources.at("gen")->draw({3, 3, 0, 256, "source/gen"}, setup.roles, pass);
  const std::set<std::string> nobody;
  Answers answers(setup.roles, setup.stores, b, nobody, pass, {});
  const Term& term = *setup.terms.at("dsm");
  answers.wish(term);
  const Signals signals = answers.signals(term);
  const TermInput in = answers.input(term, signals);
  const auto t = in.states.at("t").values(), t_in = b.more.at("t_in").values(), t_out = b.more.at("t_out").values();
  const auto w = in.states.at("w").values();
  double least = 1e9;
  for (std::size_t i = 0; i < t.size(); ++i) {
    CHECK(t[i] >= std::max(t_out[i], 20.));
    CHECK(t[i] <= t_in[i] - 10);
    if (t_out[i] < 0) CHECK(w[i] == doctest::Approx(1).epsilon(1e-9));  // from clean samples m is the draw itself
    if (t_out[i] > 0) least = std::min(least, std::abs(w[i] - 1));
  }
  CHECK(least > 0);
}

TEST_CASE("few steps: a denoiser judged at the time it was asked at learns nothing from itself") {
  const auto loss = [](const std::string& u) {
    Job job = trial("self-perceptual", {"run.dtype=f64", "method.terms.perceptual.times.u=" + u});
    for (NamedParameter& p : parameters_of(job.setup.roles.at("student")))
      if (p.name == "head.weight") assign_(p.parameter->value, p.parameter->value + .1, "test");
    for (const auto& [name, value] : Trainer(job.setup).advance())
      if (name == "loss/perceptual") return value;
    return -1.0;
  };
  CHECK(std::abs(loss("between(t t 0)")) < 1e-20);
  CHECK(loss("index(0 999)") > 1e-8);
}

TEST_CASE("few steps: random levels, and calls moved off the path along a straight line") {
  Job job = trial("cdm", {"run.dtype=f64"});
  const Setup& setup = job.setup;
  const Pass start{.step = 0, .rng = Rng(setup.seed)};
  std::set<double> seen;
  for (std::int64_t step = 0; step < 8; ++step) {
    Pass pass = start;
    const Batch b = setup.sources.at("gen")->draw({step, step, 0, 4, "source/gen"}, setup.roles, pass);
    const auto t = b.more.at("t_in").values();
    for (const double at : t) CHECK(at == t[0]);  // one index for all
    CHECK(t[0] >= .25 * 999);
    seen.insert(t[0]);
  }
  CHECK(seen.size() > 3);
  Pass pass = start;
  const Batch aside = setup.sources.at("aside")->draw({1, 1, 0, 16, "source/aside"}, setup.roles, pass);
  const auto t = aside.more.at("t_in").values();
  CHECK(*std::max_element(t.begin(), t.end()) > *std::min_element(t.begin(), t.end()) + 100);
}

TEST_CASE("few steps: labels of a rollout in turn follow the sample, whatever the step and the batch's cut") {
  const auto labels = [](const std::string& order, std::int64_t step, std::int64_t first, std::int64_t rows) {
    Job job = trial("rdm", {"sources.gen.batch=6", "sources.gen.classes=2", "sources.gen.labels=" + order,
                            "method.sources.gen.per_condition=2"});
    Pass pass{.step = static_cast<std::uint32_t>(step), .rng = Rng(job.setup.seed)};
    return job.setup.sources.at("gen")
        ->draw({step, step, first, rows, "source/gen"}, job.setup.roles, pass)
        .y.values<std::int64_t>();
  };
  const std::vector<std::int64_t> all{0, 0, 1, 1, 0, 0};
  CHECK(labels("in_turn", 0, 0, 6) == all);
  CHECK(labels("in_turn", 1, 0, 6) == std::vector<std::int64_t>{1, 1, 0, 0, 1, 1});  // three pairs on
  CHECK(labels("in_turn", 0, 2, 3) == std::vector<std::int64_t>{1, 1, 0});
  CHECK(labels("drawn", 0, 0, 6) != all);
  CHECK_THROWS_WITH_AS(trial("rdm", {"sources.gen.labels=in_turn"}), doctest::Contains("need `classes`"), ConfigError);
}

TEST_CASE("few steps: a point may not have the name of a state that its source brings") {
  CHECK_NOTHROW(trial("tfd"));
  CHECK_THROWS_WITH_AS(trial("tfd", {"method.terms.drift.points.ref=fresh_noise(2)"}),
                       doctest::Contains("source gen brings a state ref"), ConfigError);
}
