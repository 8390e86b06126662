// tests/distill/logit_heads_test.cpp -- heads that answer in logits, initial values near another role's, and numbers
// that a method leaves to the job.
#include "distill/train/logit_heads.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "nn/init.h"
#include "tensor/error.h"
#include "tensor/write.h"
#include "tests/distill/tiny_job.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
std::unique_ptr<HeadModule> built(const std::string& text, const HeadSizes& sizes) {
  const Call call = parse_call(text, "test");
  CallArgs args(call);
  args.rest();
  auto head = build_head(args, call, sizes);
  initialize(*head, Rng(1));
  return head;
}

Tensor image(const Shape& shape, std::uint64_t seed) { return cast(randn(shape, seed), DType::f32); }

std::vector<double> weights_of(Role& role) {
  std::vector<double> all;
  for (const NamedParameter& p : parameters_of(role)) {
    if (p.name.find("conv.weight") == std::string::npos) continue;
    const auto values = p.parameter->value.values();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

double variance(const std::vector<double>& v) {
  double squares = 0;
  for (const double x : v) squares += x * x;
  return squares / static_cast<double>(v.size());
}
}  // namespace

TEST_CASE("heads: exits lead every stage to the deepest one's width, and classify there") {
  HeadSizes sizes{{{8, 8, 8}, {12, 4, 4}, {16, 2, 2}}, {{24, 2, 2}}, 5};
  const auto head = built("exits(a b c like=teacher.d)", sizes);
  Ctx ctx;
  const Tensors out = head->forward({image({3, 8, 8, 8}, 1), image({3, 12, 4, 4}, 2), image({3, 16, 2, 2}, 3)}, ctx);
  REQUIRE(out.size() == 6);
  for (std::size_t i = 0; i < 6; i += 2) {
    CHECK(out[i].shape() == Shape{3, 5});
    CHECK(out[i + 1].shape() == Shape{3, 24});
  }
  CHECK_THROWS_AS(built("exits(a like=b)", {{{16}}, {{24, 2, 2}}, 5}), ShapeError);
  CHECK_THROWS_AS(built("exits(a)", {{{8, 8, 8}}, {}, 5}), ConfigError);
}

TEST_CASE("heads: a classifier averages positions or tokens and gives `times` as many classes") {
  const auto head = built("classifier(a b c times=4)", {{{8, 3, 3}, {7, 6}, {5}}, {}, 3});
  Ctx ctx;
  const Tensors out = head->forward({image({2, 8, 3, 3}, 1), image({2, 7, 6}, 2), image({2, 5}, 3)}, ctx);
  REQUIRE(out.size() == 3);
  for (const Tensor& logits : out) CHECK(logits.shape() == Shape{2, 12});
}

TEST_CASE("roles: weights near another role's keep their variance at every distance") {
  double before = 0;
  for (const double a : {0.0, 0.2, 0.5, 1.0}) {
    CAPTURE(a);
    const OpenedJob opened =
        open_job("random-teacher", {"job.task=tiny", "models.student.arch=convnet(widths=24x24 depth=1)",
                                    "method.numbers.alpha=" + std::to_string(a)});
    Job job = build_job(opened.config, opened.file, kCpu);
    const auto teacher = weights_of(job.setup.roles.at("teacher")), student = weights_of(job.setup.roles.at("student"));
    CHECK(variance(student) == doctest::Approx(variance(teacher)).epsilon(0.05));
    double apart = 0;
    for (std::size_t i = 0; i < teacher.size(); ++i) apart += std::pow(teacher[i] - student[i], 2);
    CHECK((a == 0 ? apart == 0 : apart > before));
    before = apart;
  }
}

TEST_CASE("methods: a number that the method leaves to the job must be given") {
  const test::TemporaryFolder folder;
  const auto file = write_tiny_job(folder.path(), "{extends: distill-nearest-weighted}");
  CHECK_THROWS_WITH_AS(tiny_job(file), doctest::Contains("leaves it to the job; set method.numbers.hard"), ConfigError);
  std::vector<std::string> given;
  for (const char* name : {"hard", "soft", "power", "e1", "e2"})
    given.push_back(fmt::format("method.numbers.{}=.5", name));
  CHECK_NOTHROW(tiny_job(file, given));
  const OpenedJob trial = open_job("distill-nearest-weighted", {"job.task=tiny", "method.numbers.hard=.125"});
  Config job = trial.config;
  CHECK(job.get<double>("method.numbers.hard") == .125);
  CHECK(job.get<double>("method.numbers.soft") == .7);
}

TEST_CASE("heads: a discriminator sees the mean of the others' logits; reversed, only the student's gradient turns") {
  const HeadSizes sizes{{{64}, {64}, {64}}, {}, 64};
  const Tensor z = image({3, 64}, 1), a = image({3, 64}, 2), b = image({3, 64}, 3);
  const auto run = [&](const std::string& call) {
    const auto head = built(call, sizes);
    Tape tape;
    Leaves leaves(tape);
    Ctx ctx;
    ctx.leaves = &leaves;
    const Tensor own = tape.watch(z);
    const Tensors out = head->forward({own, a, b}, ctx);
    const Tensor weight = leaves.of(*parameters_of(*head)[0].parameter, false);
    const Tensors watched{own, weight};
    const Tensors g = tape.gradients(sum(out[0] * out[0]) + sum(out[1]), watched);
    return std::vector{out[0].values(), out[1].values(), g[0].values(), g[1].values()};
  };
  const auto helps = run("discriminator(out with=all(a.out b.out))");
  const auto fights = run("discriminator(out with=all(a.out b.out) reverse=true)");
  CHECK(helps[0] == fights[0]);
  CHECK(helps[1] == fights[1]);
  CHECK(helps[3] == fights[3]);
  double norm = 0;
  for (std::size_t i = 0; i < helps[2].size(); ++i) {
    CHECK(helps[2][i] == -fights[2][i]);
    norm += std::abs(helps[2][i]);
  }
  CHECK(norm > 0);
  const auto head = built("discriminator(out with=a.out)", {{{64}, {64}}, {}, 64});
  Ctx ctx;
  CHECK(head->forward({z, (a + b) * .5}, ctx)[1].values() == helps[1]);
}

TEST_CASE("heads: features made of the prototypes themselves are found again") {
  const auto head = built("prototypes(a with=b.c count=3)", {{{5, 1, 3}, {4, 1, 3}}, {}, 2});
  Parameter& bank = *parameters_of(*head)[0].parameter;
  const Tensor far = bank.value * 40.0;  // a low temperature
  assign_(bank.value, far, "test");
  Ctx ctx;
  const Tensor features = reshape(transpose(far, 0, 1), {1, 4, 1, 3});
  const Tensors out = head->forward({image({1, 5, 1, 3}, 1), features}, ctx);
  CHECK(relative_error(out[0], features) < 1e-6);
  CHECK(out[1].shape() == Shape{1, 4, 1, 3});
  CHECK(out[2].shape() == Shape{1, 2});
}
