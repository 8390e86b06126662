// tests/distill/states_test.cpp -- states derived from the batch, and the networks asked there by NCT.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "distill/objectives/discrepancy.h"
#include "distill/train/job.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
constexpr std::int64_t kSamples = 20000;

/// The state that `call` makes of z and noise, both unit normals [kSamples, 1].
std::vector<double> made(const std::string& call, const Tensor& z, const Tensor& noise) {
  const TensorMap states{{"z", z}, {"noise", noise}};
  Batch batch;
  batch.x = z;
  batch.sample = arange(kSamples);
  const Pass pass{.step = 3, .rng = Rng(5)};
  const NoiseSchedule schedule = NoiseSchedule::vp();
  return make_state("s", parse_call(call, "test"), {}).value({states, batch, pass, schedule, {}}).values();
}

double product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum / static_cast<double>(a.size());
}
}  // namespace

TEST_CASE("states: decoupled noise stays a unit normal and forgets what it was") {
  const Tensor z = randn({kSamples, 1}, 1), noise = randn({kSamples, 1}, 2);
  const auto v = z.values(), e = noise.values();
  const auto same = made("decouple(z 0 steps=1)", z, noise), gone = made("decouple(z 1 steps=1)", z, noise);
  CHECK(same == v);
  CHECK(gone == e);
  const auto half = made("decouple(z 1 steps=2)", z, noise);  // s = 1/2 or 1
  CHECK(product(half, half) == doctest::Approx(1).epsilon(.03));
  CHECK(product(half, v) == doctest::Approx(std::sqrt(.75) / 2).epsilon(.05));
  const auto before = made("decouple(z 0 steps=2)", z, noise);  // s = 0 or 1/2, in the same samples
  CHECK(product(half, before) == doctest::Approx((std::sqrt(.75) + .5) / 2).epsilon(.05));
}

TEST_CASE("states: jitter adds noise, join and part go along channels") {
  const Tensor z = randn({kSamples, 1}, 1), noise = randn({kSamples, 1}, 2);
  const auto shaken = made("jitter(z .5)", z, noise);
  CHECK(product(shaken, shaken) == doctest::Approx(1.25).epsilon(.03));
  CHECK(make_state("s", parse_call("jitter(z .5)", "test"), {}).noisy);
  const auto joined = made("join(z noise)", z, noise);
  CHECK(joined[2] == z.values()[1]);
  CHECK(joined[3] == noise.values()[1]);
  CHECK(made("part(z 1)", z, noise) == z.values());
  CHECK_THROWS_AS(made("join(z w)", z, noise), ConfigError);
}

TEST_CASE("methods: NCT's adapter adds nothing at first, and its multiplier waits for the bound") {
  const OpenedJob opened = open_job("nct", {"job.task=tiny_generator"});
  Job job = build_job(opened.config, opened.file, kCpu);
  Trainer trainer(job.setup);
  const auto shown = [&](const Metrics& metrics, const std::string& name) {
    for (const auto& [metric, value] : metrics)
      if (metric == name) return value;
    return -1.0;
  };
  const Metrics first = trainer.advance();
  CHECK(shown(first, "loss/bound") == 0.0);
  CHECK(shown(first, "loss/con") > 0.0);
  CHECK(job.setup.controllers.at("lambda")->number() == 0.0);
  double bound = 0;
  while (!trainer.finished()) bound = shown(trainer.advance(), "loss/bound");
  CHECK(bound > 0.0);
}
