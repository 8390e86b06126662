// tests/distill/matching_identities_test.cpp -- what methods of distribution matching have in common: where one is
// another, and which signals a part must not see.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/diffusion/times.h"
#include "distill/train/run.h"
#include "tensor/write.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
using Gradients = std::map<std::string, Tensor>;

Job trial(const std::string& slug, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"job.task=tiny", "run.dtype=f64"});
  const OpenedJob opened = open_job(slug, overrides);
  return build_job(opened.config, opened.file, kCpu);
}

void keep_term(UpdateSpec& update, const std::string& name) {
  std::erase_if(update.terms, [&](const auto& term) { return term.first != name; });
  update.group.resize(update.terms.size());
}

/// The student's gradient by one term of the update that trains it, or by all.
Gradients student_gradient(Job& job, const std::string& term = "") {
  Gradients g;
  std::vector<UpdateSpec>& updates = job.setup.phases[0].updates;
  for (std::size_t u = 0; u < updates.size(); ++u) {
    if (updates[u].train.at(0) != "student") continue;
    if (!term.empty()) keep_term(updates[u], term);
    for (const auto& [name, value] : Trainer(job.setup).gradients(u, 256)) g[name] = value;
  }
  return g;
}
Gradients gradient_of(const std::string& slug, const std::vector<std::string>& overrides,
                      const std::string& term = "") {
  Job job = trial(slug, overrides);
  return student_gradient(job, term);
}

double apart(const Gradients& a, const Gradients& b, double scale = 1) {
  double gap = 0, size = 0;
  for (const auto& [name, g] : a) {
    gap += sum(square(g - b.at(name) * scale)).item();
    size += sum(square(g)).item();
  }
  return std::sqrt(gap / size);
}

void shift_tracker(Job& job) {
  for (const NamedParameter& p : parameters_of(job.setup.roles.at("tracker")))
    assign_(p.parameter->value, p.parameter->value + .3, "test");
}

const std::string kTwoClasses = "models.teacher.arch=mixture(at(.7 -.3) at(-.5 .4) std=1.14 schedule=vp)";
const std::string kClass = "sources.default.conditions={given: 0}";
}  // namespace

TEST_CASE("matching: decoupled guidance at one noise level is DMD's, vanishes at guidance 1, ignores the tracker") {
  const std::vector<std::string> common{kTwoClasses, kClass};
  Job decoupled = trial("decoupled-dmd", common);
  const Gradients guidance = student_gradient(decoupled, "guidance");
  Job moved = trial("decoupled-dmd", common);
  shift_tracker(moved);
  CHECK(apart(guidance, student_gradient(moved, "guidance")) == 0);
  Job push = trial("decoupled-dmd", common), moved_push = trial("decoupled-dmd", common);
  shift_tracker(moved_push);
  CHECK(apart(student_gradient(push, "push"), student_gradient(moved_push, "push")) > 1e-3);
  // (D_f - D_c) + (k - 1)(D_null - D_c) = D_f - D^k at the same state.
  std::vector<std::string> joint = common, split = common;
  joint.push_back("method.terms.push.sum=[[1, tracker@z], [-1, {role: teacher, at: z, guide: 3}]]");
  split.push_back("method.terms.push.sum=[[1, tracker@z], [-1, teacher@z], [2, teacher(null)@z], [-2, teacher@z]]");
  for (auto* how : {&joint, &split}) how->push_back("method.terms.push.norm=none");
  CHECK(apart(gradient_of("decoupled-dmd", joint, "push"), gradient_of("decoupled-dmd", split, "push")) < 1e-12);
  std::vector<std::string> one = common;
  one.push_back("method.terms.guidance.sum=[[1, {role: teacher, at: w, guide: 1}], [-1, teacher@w]]");
  double size = 0;
  for (const auto& [name, g] : gradient_of("decoupled-dmd", one, "guidance")) size += sum(square(g)).item();
  CHECK(size < 1e-24);
}

TEST_CASE("matching: groups of one sample are samples, and a larger group's scale is shared") {
  const auto with = [](const std::string& norm) {
    return gradient_of("rdm", {"method.terms.push.norm=" + norm}, "push");
  };
  const Gradients alone = with("l1(floor=0)");
  CHECK(apart(alone, with("l1(floor=0 group=1)")) == 0);
  CHECK(apart(alone, with("l1(floor=0 group=4)")) > 1e-3);
  CHECK_THROWS_WITH_AS(with("l1(floor=0 group=7)"), doctest::Contains("whole groups"), ShapeError);
}

TEST_CASE("matching: score mixtures, a forgotten class's share, and few-step SiD in one step") {
  // SFD without a share for the class is SiD of the kept one.
  Job without = trial("sfd", {"method.numbers.mu=0"}), alone = trial("sfd");
  CHECK(apart(student_gradient(without), student_gradient(alone, "push")) < 1e-12);
  // Few-step SiD of one step at guidance 1 and a = 1 is SiD.
  const std::string level = "method.sources.gen.levels=[999]", time = "method.terms.push.times.t=index(20 979)";
  const Gradients few =
      gradient_of("fewstep-sid", {"method.sources.gen.levels=[999]", "method.numbers.kappa=1"}, "push");
  const Gradients sid = gradient_of(
      "sid", {"job.task=tiny_fewstep", "method.numbers.a=1", level, time, "method.sources.gen.exit=shared"}, "push");
  CHECK(apart(few, sid, .5 / 100) < 1e-12);
}

TEST_CASE("matching: the range of noise grows with the distance and collapses without") {
  const NoiseSchedule vp = NoiseSchedule::vp();
  const std::vector<NamedLaw> laws{{"t", make_time_law(parse_call("reach(gap 1 .02 .98)", "test"), vp)}};
  const Tensor samples = Tensor::of<std::int64_t>(std::vector<std::int64_t>{0, 1, 2, 3}, {4});
  const auto times = [&](double gap) {
    const Times known{{"gap", Tensor::full({4}, gap, DType::f64)}};
    return draw_times(laws, Rng(1), "s", 0, samples, {}, DType::f64, known).at("t").values();
  };
  const auto none = times(0), half = times(.5), whole = times(1), beyond = times(9);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(none[i] == doctest::Approx(.02 * 999));
    CHECK(half[i] > none[i]);
    CHECK(whole[i] > half[i]);
    CHECK(beyond[i] == whole[i]);
  }
  const std::vector<NamedLaw> shared{{"t", make_time_law(parse_call("shared(frac(0 1))", "test"), vp)}};
  const auto t = draw_times(shared, Rng(1), "s", 0, samples).at("t").values();
  for (const double at : t) CHECK(at == t[0]);
}

TEST_CASE("matching: random features of equal spreads measure the distance of means") {
  // psi = W x with W_ij ~ N(0, s^2): the mean of |mean psi(x) - mean psi(y)|^2 over psi is d s^2 |mean x - mean y|^2.
  Job job = trial("embedding-loss", {"models.features.arch=mlp(in=2 classes=64 widths=none)", "run.steps=40",
                                     "optim.student={sgd: {lr: 0}}", "optim.tracker={sgd: {lr: 0}}"});
  Pass pass{.step = 0, .rng = Rng(job.setup.seed)};
  double shown = 0, distance = 0;
  Trainer trainer(job.setup);
  for (int step = 0; step < 40; ++step) {
    pass.step = static_cast<std::uint32_t>(step);
    const Batch b = job.setup.sources.at("gen")->draw({step, step, 0, 256, "source/gen"}, job.setup.roles, pass);
    distance += sum(square(mean(b.x, {0}) - mean(b.more.at("ref"), {0}))).item() / 40;
    for (const auto& [name, value] : trainer.advance())
      if (name == "loss/embed") shown += value / 40;
  }
  double variance = 0, n = 0;
  for (const NamedParameter& p : parameters_of(job.setup.roles.at("psi")))
    if (p.name == "head.weight") {
      variance = sum(square(p.parameter->value)).item() / 128;
      n = 64;
    }
  CHECK(shown == doctest::Approx(n * variance * distance).epsilon(.1));
}
