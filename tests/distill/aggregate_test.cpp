// tests/distill/aggregate_test.cpp -- `aggregate` and the optimisers in jobs: gradients by term, resumption, plan,
// errors.
#include <cmath>

#include "distill/train/run.h"
#include "distill/train/state.h"
#include "nn/optim/clip.h"
#include "tensor/write.h"
#include "tests/distill/tiny_job.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;
namespace fs = std::filesystem;

namespace {
using Gradient = std::map<std::string, Tensor>;

/// `method` with its update's terms and further keys replaced.
std::string with_update(const std::string& method, const std::string& terms, const std::string& more) {
  return "{extends: " + method + ", phases: [{name: main, steps: job, update: [{train: [student], terms: " + terms +
         ", optim: job" + more + "}]}]}";
}

Gradient gradient(const std::string& method, std::int64_t micro_batch = 0) {
  const test::TemporaryFolder folder;
  Job job =
      tiny_job(write_tiny_job(folder.path(), method), {"run.dtype=f64", "optim.student={sgd: {lr: .1, momentum: .9}}"});
  Trainer trainer(job.setup);
  return trainer.gradients(0, micro_batch);
}

double dot(const Gradient& a, const Gradient& b) {
  double s = 0;
  for (const auto& [name, g] : a) s += inner_product(g, b.at(name));
  return s;
}

double distance(const Gradient& a, const Gradient& b) {
  double s = 0;
  for (const auto& [name, g] : a) {
    const Tensor difference = copy_of(g);
    scale_(difference, -1);
    accumulate_(difference, b.at(name));
    s += inner_product(difference, difference);
  }
  return std::sqrt(s / dot(a, a));
}

/// Eight steps of the job, saved in `folder`: at once, or as four, a checkpoint, and four by another process's objects.
void train(const fs::path& file, const std::vector<std::string>& overrides, const fs::path& folder, bool cut) {
  fs::create_directories(folder / "middle");
  for (const bool first : {true, false}) {
    Job job = tiny_job(file, overrides);
    Trainer trainer(job.setup);
    if (cut && !first) load_checkpoint(folder / "middle", job.setup, trainer);
    while (!trainer.finished() && !(cut && first && trainer.step() == 4)) trainer.advance();
    save_checkpoint(trainer.finished() ? folder : folder / "middle", job.setup, trainer, {.step = trainer.step()});
    if (trainer.finished()) return;
  }
}
}  // namespace

TEST_CASE("trainer: an aggregator weighs the terms' own gradients") {
  const Gradient ce = gradient(with_update("kd", "{ce: .1}", "")), kd = gradient(with_update("kd", "{kd: .9}", ""));
  const Gram gram(2, {dot(ce, ce), dot(ce, kd), dot(kd, ce), dot(kd, kd)});
  const auto combined = [&](const LossWeights& w) {
    Gradient d;
    for (const auto& [name, g] : ce) {
      d[name] = copy_of(g);
      scale_(d[name], w[0]);
      const Tensor other = copy_of(kd.at(name));
      scale_(other, w[1]);
      accumulate_(d[name], other);
    }
    return d;
  };
  const Gradient sum = gradient(with_update("kd", "{ce: .1, kd: .9}", ""));
  CHECK(distance(sum, combined({1, 1})) < 1e-12);
  const std::vector<std::pair<std::string, LossWeights>> rules{{"sum", {1, 1}},
                                                               {"min_norm", min_norm_weights(gram)},
                                                               {"upgrad", upgrad_weights(gram)},
                                                               {"cagrad(.4)", cagrad_weights(gram, .4)},
                                                               {"nash", nash_weights(gram)},
                                                               {"aligned", aligned_weights(gram)},
                                                               {"imtl", imtl_weights(gram)},
                                                               {"split_momentum(.05)", {1, 1}}};
  for (const auto& [name, weights] : rules) {
    const std::string& rule = name;
    CAPTURE(rule);
    const std::string aggregate = ", aggregate: " + rule;
    const Gradient got = gradient(with_update("kd", "{ce: .1, kd: .9}", aggregate));
    CHECK(distance(got, combined(weights)) < 1e-9);
    CHECK(distance(got, gradient(with_update("kd", "{ce: .1, kd: .9}", aggregate), 8)) < 1e-9);
    if (rule != "sum" && !rule.starts_with("split")) CHECK(distance(got, sum) > 1e-3);
  }
}

TEST_CASE("trainer: UPGrad lets no term rise, where the sum lets one; batch-coupled terms take part") {
  const Gradient ce = gradient(with_update("dist", "{ce: 1}", ""));
  const Gradient intra = gradient(with_update("dist", "{intra: 1}", ""));
  // Thirty times as long as cross-entropy's gradient, on the other side of it.
  const double against = dot(ce, intra) > 0 ? -1 : 1,
               factor = 30 * against * std::sqrt(dot(ce, ce) / dot(intra, intra));
  const double cosine = -std::abs(dot(ce, intra)) / std::sqrt(dot(ce, ce) * dot(intra, intra));
  CAPTURE(cosine);
  const std::string terms = fmt::format("{{ce: 1, intra: {}}}", factor);
  const Gradient sum = gradient(with_update("dist", terms, ""));
  const Gradient up = gradient(with_update("dist", terms, ", aggregate: upgrad"));
  CHECK(distance(up, gradient(with_update("dist", terms, ", aggregate: upgrad"), 8)) < 1e-9);
  CHECK(dot(sum, ce) < 0);
  CHECK(dot(up, ce) > 0);
  CHECK(dot(up, intra) * factor > 0);
}

TEST_CASE("trainer: split momentum with delta 0 trains as SGD does, and differently otherwise") {
  const auto end = [](const std::string& aggregate) {
    const test::TemporaryFolder folder;
    const auto file = write_tiny_job(folder.path(), with_update("kd", "{ce: .1, kd: .9}", aggregate));
    Job job = tiny_job(file, {"run.dtype=f64", "optim.student={sgd: {lr: .1, momentum: .9, wd: .01}}"});
    Trainer trainer(job.setup);
    while (!trainer.finished()) trainer.advance();
    Gradient weights;
    for (const auto& [name, p] : parameters_of(job.setup.roles.at("student"))) weights[name] = copy_of(p->value);
    return weights;
  };
  const Gradient plain = end("");
  CHECK(distance(plain, end(", aggregate: split_momentum(0)")) < 1e-12);
  CHECK(distance(plain, end(", aggregate: split_momentum(.075)")) > 1e-5);
}

TEST_CASE("run: every optimiser and aggregator continues bit for bit, and none is another") {
  struct Case {
    std::string method, optim;
  };
  const std::vector<Case> cases{
      {"ce", "{sgd: {lr: .05, momentum: .9}}"},
      {"ce", "{adamw: {lr: .002, wd: .01}}"},
      {"ce", "{lion: {lr: .001, betas: [.9, .99], wd: .1}, schedule: cosine(warmup=.1)}"},
      {"ce", "{adafactor: {}}"},
      {"ce", "{adafactor: {lr: .002, relative: false, beta1: .9}}"},
      {"dot-distillation-oriented-trainer", "{sgd: {lr: .05, momentum: .9, wd: 5.0e-4}}"},
      {"jacobian-descent", "{sgd: {lr: .05, momentum: .9}}"},
      {with_update("kd", "{ce: .1, kd: .9}", ", aggregate: pcgrad, clip: .1"), "{sgd: {lr: .05, momentum: .9}}"}};
  std::set<std::string> ends;
  for (const Case& c : cases) {
    CAPTURE(c.method);
    CAPTURE(c.optim);
    const test::TemporaryFolder folder;
    const auto file = write_tiny_job(folder.path(), c.method);
    const std::vector<std::string> overrides{"optim.student=" + c.optim, "run.steps=8"};
    const fs::path whole = folder.file("whole"), cut = folder.file("cut");
    train(file, overrides, whole, false);
    train(file, overrides, cut, true);
    for (const char* name : {"model.h5", "state.h5"}) CHECK(read_file(whole / name) == read_file(cut / name));
    ends.insert(read_file(whole / "model.h5"));
  }
  CHECK(ends.size() == cases.size());
}

TEST_CASE("plan: gradients kept apart and factored states are counted") {
  const auto planned = [](const std::string& method, const std::string& optim) {
    const test::TemporaryFolder folder;
    const auto file = write_tiny_job(folder.path(), method, "", "mlp(widths=512x512)");
    const std::vector<std::string> overrides{"optim.student=" + optim, "run.steps=2"};
    PlanReport plan;
    std::int64_t real = 0;
    {
      const MemoryScope scope(Ref<MemoryAccount>(new MemoryAccount));
      Job job = tiny_job(file, overrides, kMeta);
      plan = plan_job(job);
    }
    const MemoryScope scope(Ref<MemoryAccount>(new MemoryAccount));
    Job job = tiny_job(file, overrides);
    RunFolder run = RunFolder::create(folder.file("run"), {job.raw, job.resolved, "test", "{}"});
    run_job(job, run, {});
    real = MemoryAccount::current_account().peak();
    CHECK(std::abs(static_cast<double>(plan.peak) / static_cast<double>(real) - 1) < .1);
    return plan;
  };
  const std::string sgd = "{sgd: {lr: .01, momentum: .9}}";
  const std::int64_t weights = 4 * (64 * 512 + 512 + 512 * 512 + 512 + 512 * 4 + 4);
  CHECK(planned("jacobian-descent", sgd).peak - planned("kd", sgd).peak > weights / 2);
  const auto state = [&](const std::string& optim) { return planned("kd", optim).roles[0].optimizer_bytes; };
  CHECK(state("{adam: {lr: .01}}") >= 2 * weights);
  CHECK(state("{adafactor: {}}") < weights / 50);
  planned("dot-distillation-oriented-trainer", sgd);
}

TEST_CASE("run: aggregators and optimisers that do not exist or do not fit are refused") {
  const test::TemporaryFolder folder;
  const auto refused = [&](const std::string& method, const std::vector<std::string>& overrides, const char* what) {
    const auto file = write_tiny_job(folder.path(), method);
    CHECK_THROWS_WITH_AS(tiny_job(file, overrides), doctest::Contains(what), ConfigError);
  };
  refused(with_update("kd", "{ce: 1, kd: 1}", ", aggregate: upgrade"), {}, "the nearest is 'upgrad'");
  refused(with_update("kd", "{ce: 1, kd: 1}", ", aggregate: cagrad(k=2)"), {}, "the nearest is 'c'");
  refused(with_update("kd", "{kd: 1}", ", aggregate: split_momentum(.05)"), {}, "compares with labels");
  refused("dot-distillation-oriented-trainer", {"optim.student={adamw: {lr: .01}}"}, "a kind of sgd");
  refused("kd", {"optim.student={lionn: {lr: .01}}"}, "lion");
  refused("kd", {"optim.student={lion: {lr: .01, beta: .9}}"}, "betas");
  refused("kd", {"optim.student={lion: {lr: .01}, sgd: {lr: .1}}"}, "exactly one");
}
