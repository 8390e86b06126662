// tests/distill/scalar_test.cpp -- the term Scalar: its functions, gradients through fixed critics, slopes, references.
#include "distill/objectives/scalar.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/train/run.h"
#include "distill/train/state.h"
#include "tensor/write.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Job trial(const std::string& slug, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"job.task=tiny", "run.dtype=f64"});
  const OpenedJob opened = open_job(slug, overrides);
  return build_job(opened.config, opened.file, kCpu);
}

double value_of(const std::string& call, const std::vector<double>& logits) {
  Tensors reads;
  for (const double l : logits) reads.push_back(Tensor::full({1, 1}, l, DType::f64));
  return sum(make_scalar_function(parse_call(call, "test"), {}).value(reads, {})).item();
}

/// The update with one of its terms alone.
void keep_term(UpdateSpec& update, const std::string& name) {
  std::erase_if(update.terms, [&](const auto& term) { return term.first != name; });
  update.group.resize(update.terms.size());
}

const char* const kDivergences[] = {"rkl",      "fkl",    "js",      "softened",    "hellinger",
                                    "jeffreys", "neyman", "pearson", "skew_js(.75)"};
}  // namespace

TEST_CASE("scalar: losses of GANs") {
  const double l = .3;
  const auto softplus_of = [](double x) { return std::log1p(std::exp(x)); };
  CHECK(value_of("gan_g(logistic_ns)", {l}) == doctest::Approx(softplus_of(-l)));
  CHECK(value_of("gan_g(minimax)", {l}) == doctest::Approx(-softplus_of(l)));
  CHECK(value_of("gan_g(hinge)", {l}) == doctest::Approx(-l));
  CHECK(value_of("gan_g(lsgan)", {l}) == doctest::Approx(.5 * (l - 1) * (l - 1)));
  CHECK(value_of("gan_g(relativistic)", {l, -.9}) == doctest::Approx(softplus_of(-.9 - l)));
  CHECK(value_of("gan_d(relativistic)", {l, -.9}) == doctest::Approx(softplus_of(l + .9)));
  CHECK(value_of("gan_fake(logistic)", {l}) == doctest::Approx(softplus_of(l)));
  CHECK(value_of("gan_fake(hinge)", {l}) == doctest::Approx(1.3));
  CHECK(value_of("gan_real(hinge)", {1.5}) == 0);
  CHECK(value_of("gan_d(lsgan)", {l, .8}) == doctest::Approx(.5 * l * l + .5 * .04));
  CHECK(value_of("gan_d(logistic)", {l, .8}) == doctest::Approx(softplus_of(l) + softplus_of(-.8)));
  CHECK(value_of("gan_fake(wgan clamp=.1)", {l}) == doctest::Approx(.1));
  CHECK(value_of("relu_below(.5)", {l}) == doctest::Approx(.2));
  CHECK(value_of("relu_below(.5)", {.9}) == 0);
  CHECK(value_of("half_sq", {l}) == doctest::Approx(.045));
  CHECK_THROWS_WITH_AS(value_of("gan_fake(relativistic)", {l}), doctest::Contains("relativistic"), ConfigError);
  CHECK_THROWS_AS(value_of("gan_g(hinge clamp=0)", {l}), ConfigError);
}

TEST_CASE("scalar: phi' is -h of the ratio, and rest is h - r h', for every f-divergence") {
  for (const char* name : kDivergences) {
    CAPTURE(name);
    const FDivergence f = make_divergence(parse_call(name, "test"));
    for (const double log_ratio : {-1.7, .2, 1.1}) {
      Tape tape;
      const Tensor l = tape.watch(Tensor::scalar(log_ratio, DType::f64));
      const double slope = tape.gradients(f.phi(l), std::span(&l, 1))[0].item();
      const auto h = [&](double r) { return f.h(Tensor::scalar(r, DType::f64)).item(); };
      const double r = std::exp(log_ratio), step = 1e-5 * r;
      CHECK(slope == doctest::Approx(-h(r)).epsilon(1e-12));
      const double rest = h(r) - r * (h(r + step) - h(r - step)) / (2 * step);
      CHECK(f.rest(Tensor::scalar(r, DType::f64)).item() == doctest::Approx(rest).epsilon(1e-6));
    }
  }
  CHECK_THROWS_WITH_AS(make_divergence(parse_call("jss", "test")), doctest::Contains("js"), ConfigError);
}

TEST_CASE("scalar: an update moves the roles it trains and no other bit, while its gradient goes through the critic") {
  for (const char* slug : {"dmd2", "diffusion-gan", "f-distill", "add", "uni-instruct", "fewstep-sid"}) {
    CAPTURE(slug);
    Job job = trial(slug, {"run.steps=40"});
    Setup& setup = job.setup;
    std::vector<UpdateSpec>& updates = setup.phases[0].updates;
    Trainer warm(setup);  // critics may begin undecided
    for (int i = 0; i < 6; ++i) warm.advance();
    for (std::size_t u = 0; u < updates.size(); ++u) {
      const std::string moved = updates[u].train.at(0);
      const auto g = Trainer(setup).gradients(u, 256);
      double norm = 0;
      for (const auto& [name, value] : g) {
        CHECK(name.starts_with(moved + "/"));
        norm += sum(square(value)).item();
      }
      CHECK(norm > 0);
    }
    std::map<std::string, std::uint32_t> before;
    for (auto& [name, role] : setup.roles) before[name] = fingerprint(role);
    for (UpdateSpec& update : updates)
      if (update.train.at(0) != "student") update.every = 1000;  // only step 0
    Trainer trainer(setup);
    trainer.advance();
    for (auto& [name, role] : setup.roles)
      if (name != "teacher") CHECK(fingerprint(role) != before.at(name));
    CHECK((setup.roles.contains("teacher") ? fingerprint(setup.roles.at("teacher")) == before.at("teacher") : true));
    for (auto& [name, role] : setup.roles) before[name] = fingerprint(role);
    for (int i = 0; i < 5; ++i) trainer.advance();
    for (auto& [name, role] : setup.roles) CHECK((fingerprint(role) == before.at(name)) == (name != "student"));
  }
}

TEST_CASE("scalar: the critic's gradient reaches the student only where the term is live") {
  const auto norm = [](const std::vector<std::string>& overrides) {
    Job job = trial("diffusion-gan", overrides);
    Trainer trainer(job.setup);
    for (int i = 0; i < 3; ++i) trainer.advance();
    double total = 0;
    for (const auto& [name, g] : trainer.gradients(1, 256)) total += sum(square(g)).item();
    return total;
  };
  CHECK(norm({}) > 1e-8);
  CHECK(norm({"method.terms.gan.read.live=false"}) == 0);
}

TEST_CASE("scalar: slopes are gradients in the state, and differentiable in the weights (R1)") {
  // A linear critic l = w z + b: the slope is w, R1 is |w|^2 / 2, and its gradient in w is w.
  Job job = trial("diffusion-gan", {"models.critic.arch=mlp(in=2 classes=1 widths=none)", "models.critic.schedule=vp",
                                    "models.critic.out=x0", "method.numbers.gamma=1"});
  keep_term(job.setup.phases[0].updates[0], "r1");
  Trainer trainer(job.setup);
  std::vector<double> weight;
  for (const NamedParameter& p : parameters_of(job.setup.roles.at("critic")))
    if (p.name == "head.weight") weight = p.parameter->value.values();
  REQUIRE(weight.size() == 2);
  const auto g = trainer.gradients(0, 64);
  const std::vector<double> by_weight = g.at("critic/head.weight").values();
  for (std::size_t i = 0; i < 2; ++i) CHECK(by_weight[i] == doctest::Approx(weight[i]).epsilon(1e-12));
  for (const double b : g.at("critic/head.bias").values()) CHECK(b == 0);
}

TEST_CASE("scalar: a slope's second derivative agrees with finite differences on a critic told the time") {
  Job job =
      trial("diffusion-gan", {"method.numbers.gamma=1", "optim.critic={sgd: {lr: 0}}",
                              "models.critic.arch=mixture(at(.4 -.1) at(-.2 .3) std=.8 schedule=vp answer=log_ratio)"});
  job.setup.phases[0].updates.resize(1);
  keep_term(job.setup.phases[0].updates[0], "r1");
  const auto analytic = Trainer(job.setup).gradients(0, 256);
  const auto loss = [&] {
    for (const auto& [name, value] : Trainer(job.setup).advance())
      if (name == "loss/r1") return value;
    return 0.0;
  };
  for (const NamedParameter& p : parameters_of(job.setup.roles.at("critic"))) {
    const std::vector<double> begin = p.parameter->value.values();
    const auto at = [&](double moved) {
      std::vector<double> values = begin;
      values[1] += moved;
      assign_(p.parameter->value, Tensor::from(values, p.parameter->value.shape(), DType::f64), "test");
      return loss();
    };
    const double step = 1e-4, difference = (at(step) - at(-step)) / (2 * step);
    at(0);
    CHECK(std::abs(difference) > 1e-3);
    CHECK(analytic.at("critic/" + p.name).values()[1] == doctest::Approx(difference).epsilon(1e-5));
  }
}

TEST_CASE("scalar: a rollout shows reference samples, and can be asked at them") {
  Job job = trial("add");
  const Setup& setup = job.setup;
  Pass pass{.step = 2, .rng = Rng(setup.seed)};
  const Batch gen = setup.sources.at("gen")->draw({2, 2, 64, 128, "source/gen"}, setup.roles, pass);
  const Batch part = setup.sources.at("gen")->draw({2, 2, 128, 64, "source/gen"}, setup.roles, pass);
  CHECK(gen.more.at("ref").shape() == gen.x.shape());
  CHECK(slice(gen.more.at("ref"), 0, 64, 128).values() == part.more.at("ref").values());
  // x_in = alpha y + sigma e: small noise leaves it near the reference.
  const auto t = gen.more.at("t_in").values(), out = gen.more.at("t_out").values();
  const auto reference = gen.more.at("ref").values(), asked = gen.more.at("x_in").values();
  double near = 0, far = 0;
  for (std::size_t i = 0; i < t.size(); ++i) {
    CHECK(out[i] < t[i]);
    double& gap = t[i] < 300 ? near : far;
    if (t[i] < 300 || t[i] > 900) gap = std::max(gap, std::abs(asked[2 * i] - reference[2 * i]));
  }
  CHECK(near > 0);
  CHECK(near < far);
}
