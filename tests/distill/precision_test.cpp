// tests/distill/precision_test.cpp -- a role that computes in bf16: f32 masters, losses and sums of gradients, rounded
// shadows, and a loss that stays near the f32 one.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "distill/objectives/match.h"
#include "distill/train/run.h"
#include "distill/train/state.h"
#include "tensor/write.h"
#include "tests/distill/tiny_job.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;
namespace fs = std::filesystem;

namespace {
fs::path low_job(const test::TemporaryFolder& folder, const std::string& norm, const std::string& method = "kd",
                 const std::string& compute = "bf16") {
  return write_tiny_job(folder.path(), method, "",
                        "convnet(widths=16x16 depth=1 norm=" + norm + "), compute: " + compute);
}

Tensor rounded(const Tensor& master) { return cast(master, DType::bf16); }

/// Every loss of a run of 60 steps.
std::vector<double> losses(const std::string& norm, const std::string& compute) {
  const test::TemporaryFolder folder;
  Job job = tiny_job(low_job(folder, norm, "ce", compute),
                     {"run.steps=60", "sources.data.augment=[]", "optim.student.sgd.lr=.03"});
  Trainer trainer(job.setup);
  std::vector<double> all;
  while (!trainer.finished()) all.push_back(trainer.advance()[0].second);
  return all;
}
}  // namespace

TEST_CASE("bf16: losses of a convnet stay within 0.5 % of the first f32 loss while it falls to a twentieth") {
  for (const char* norm : {"group", "batch"}) {
    CAPTURE(norm);
    const auto full = losses(norm, "f32"), low = losses(norm, "bf16");
    double worst = 0;
    for (std::size_t i = 0; i < full.size(); ++i) worst = std::max(worst, std::abs(low[i] - full[i]));
    CHECK(worst > 0);  // it was bf16
    CHECK(worst < .005 * full.front());
    CHECK(full.back() < full.front() / 20);
    CHECK(low.back() < low.front() / 20);
  }
}

TEST_CASE("bf16: after every step masters are f32, shadows the rounded masters, norms have none") {
  const test::TemporaryFolder folder;
  Job job = tiny_job(low_job(folder, "batch", "{extends: kd, roles: {student: {ema: {decay: .5}}}}"));
  Trainer trainer(job.setup);
  while (!trainer.finished()) {
    trainer.advance();
    for (const char* role : {"student", "student.ema"}) {
      int shadows = 0, plain = 0;
      for (const auto& [path, p] : parameters_of(job.setup.roles.at(role))) {
        const std::string& name = path;
        CAPTURE(name);
        CHECK(p->value.dtype() == DType::f32);
        CHECK(p->shadow.defined() != p->master_only);
        ++(p->master_only ? plain : shadows);
        if (p->master_only) continue;
        CHECK(p->shadow.dtype() == DType::bf16);
        CHECK(p->shadow.values() == rounded(p->value).values());
        CHECK(p->shadow.values() != p->value.values());
      }
      CHECK(shadows > 0);
      CHECK(plain > 0);
      for (const auto& [name, b] : buffers_of(job.setup.roles.at(role))) CHECK(b->value.dtype() == DType::f32);
    }
  }
}

TEST_CASE("bf16: a run that is stopped and resumed ends in the same bytes") {
  const test::TemporaryFolder folder;
  const auto file = low_job(folder, "batch");
  Job whole = tiny_job(file), first = tiny_job(file), second = tiny_job(file);
  {
    RunFolder run = RunFolder::create(folder.file("whole"), {whole.raw, whole.resolved, "test", "{}"});
    CHECK(run_job(whole, run, {}).finished);
  }
  {
    RunFolder run = RunFolder::create(folder.file("cut"), {first.raw, first.resolved, "test", "{}"});
    RunObserver observer;
    int steps = 0;
    observer.stop_requested = [&] { return ++steps == 5; };
    CHECK_FALSE(run_job(first, run, observer).finished);
  }
  RunFolder run = RunFolder::resume(folder.file("cut"), "test");
  CHECK(run_job(second, run, {}).finished);
  for (const char* name : {"model.h5", "state.h5"})
    CHECK(read_file(newest_checkpoint(folder.file("whole"))->path / name) ==
          read_file(newest_checkpoint(folder.file("cut"))->path / name));
}

TEST_CASE("bf16: gradients are summed in f32") {
  // 256 + 1 is 256 in bf16: a sum kept in 16 bits would lose every one of the hundred.
  Bag m;
  m.items.emplace_back(Tensor::zeros({1}));
  set_shadows(m, DType::bf16);
  Tape tape;
  Leaves leaves(tape);
  const Tensor leaf = leaves.of(m.items[0], true);
  CHECK(leaf.dtype() == DType::bf16);
  GradAccumulator sum(parameters_of(m));
  sum.attach(leaves);
  const auto add = [&](double v) { sum.add(tape.leaf_of(leaf), Tensor::full({1}, v, DType::bf16)); };
  add(256);
  for (int i = 0; i < 100; ++i) add(1);
  CHECK(sum.grads()[0].dtype() == DType::f32);
  CHECK(sum.grads()[0].item() == 356);

  // One micro-batch gives bf16 numbers, widened; the sum of four has more digits than bf16 can hold.
  const test::TemporaryFolder folder;
  Job job = tiny_job(low_job(folder, "group"));
  Trainer trainer(job.setup);
  const auto share_beyond_bf16 = [&](std::int64_t rows) {
    std::size_t beyond = 0, all = 0;
    for (const auto& [name, g] : trainer.gradients(0, rows)) {
      CHECK(g.dtype() == DType::f32);
      if (name.find("conv.weight") == std::string::npos) continue;
      const auto exact = g.values(), low = rounded(g).values();
      for (std::size_t i = 0; i < exact.size(); ++i) beyond += exact[i] != low[i];
      all += exact.size();
    }
    return static_cast<double>(beyond) / static_cast<double>(all);
  };
  CHECK(share_beyond_bf16(32) == 0);
  CHECK(share_beyond_bf16(8) > .5);
}

TEST_CASE("bf16: losses of 16-bit logits are computed in f32") {
  const Tensor s = cast(randn({16, 10}, 1), DType::bf16), t = cast(randn({16, 10}, 2), DType::bf16);
  std::vector<std::int64_t> labels(16);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int64_t>(i % 10);
  for (const char* d : {"ce", "kl(forward)", "kl(reverse)", "jeffreys", "js(.3)", "dkd(1 8)", "pearson(rows)",
                        "pearson(columns)", "sq", "l1"}) {
    CAPTURE(d);
    const Discrepancy entry = make_discrepancy(parse_call(d, "test"), {});
    const auto value = [&](DType dtype) {
      Comparison c;
      c.pred = cast(s, dtype);
      c.target = cast(t, dtype);
      c.batch.y = Tensor::of<std::int64_t>(labels, {16});
      if (entry.logits) c.T_pred = c.T_target = 4;
      return entry.value(c);
    };
    CHECK(value(DType::bf16).dtype() == DType::f32);
    CHECK(relative_error(cast(value(DType::bf16), DType::f64), value(DType::f64)) < 1e-5);  // bf16 would leave 4e-3
  }
}
