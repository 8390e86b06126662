// tests/nn/models_denoiser_test.cpp -- diffusion networks against their references; conditions, derivatives, taps,
// meta.
#include "autograd/check_grads.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/train/models.h"
#include "nn/models/dit.h"
#include "nn/models/edm.h"
#include "nn/models/unet.h"
#include "tests/nn/fixture.h"
#include "tests/nn/reference.h"

using namespace retort;
using namespace retort::testing;

namespace {
constexpr const char* kDit =
    "dit(image=4 patch=2 in=2 out=2 classes=3 width=8 depth=1 heads=2 hidden=8 label_drop=0.5 times=1 dropout=0)";
constexpr const char* kEdm =
    "edm(net=unet(image=4 in=2 out=2 width=4 mult=1x2 blocks=1 attention=2 embed_mult=2 classes=3 augment=2 "
    "label_drop=0.5 dropout=0) sigma_data=0.5)";

std::unique_ptr<Denoiser> built(const std::string& arch, DType dtype = DType::f64) {
  auto net = build_denoiser(parse_call(arch, "test"), {.channels = 3, .height = 32, .width = 32, .classes = 10});
  convert(*net, dtype);
  return net;
}

/// Every parameter normal: what starts at zero would hide mistakes.
std::unique_ptr<Denoiser> random(const std::string& arch, double scale = 0.5) {
  auto net = built(arch);
  std::uint64_t seed = 1;
  for (const auto& [name, p] : parameters_of(*net)) p->value = randn(p->value.shape(), seed++) * scale;
  return net;
}

/// The conditions of the fixtures, from inputs in -1 .. 1.
Tensor dit_forward(const Denoiser& net, std::span<const Tensor> in, Ctx& ctx) {
  return net.forward(in[0], {.t = (in[1] + 1.0) * 500, .label = in[2]}, ctx);
}
Tensor edm_forward(const Denoiser& net, std::span<const Tensor> in, Ctx& ctx) {
  return net.forward(in[0], {.t = exp(in[1] * 2), .label = in[2], .augment = in[3]}, ctx);
}
using Forward = Tensor (*)(const Denoiser&, std::span<const Tensor>, Ctx&);

Disagreement compare(const Reference& reference, Denoiser& net, Forward forward) {
  return reference.compare(net, [&](std::span<const Tensor> in, Ctx& ctx) { return forward(net, in, ctx); });
}

std::unique_ptr<Denoiser> check_denoiser(const std::string& name, Forward forward) {
  const Reference reference(name);
  std::unique_ptr<Denoiser> result;
  for (const DType dtype : {DType::f32, DType::f64}) {
    result = built(reference.arch(), dtype);
    reference.fill(*result);
    const Disagreement d = compare(reference, *result, forward);
    INFO(name, " in ", std::string(name_of(dtype)), ": ", d.worst, "; output ", d.output, ", taps ", d.taps,
         ", gradients ", d.gradients);
    CHECK(d.most() < (dtype == DType::f64 ? 1e-9 : 1e-4));
  }
  return result;
}

Tensor labels_of(const std::vector<std::int64_t>& ids) {
  return Tensor::of<std::int64_t>(ids, {static_cast<std::int64_t>(ids.size())});
}
}  // namespace

TEST_CASE("models: dit agrees with its reference, and does not when the modulations of two blocks change places") {
  const auto net = check_denoiser("dit", dit_forward);
  auto& dit = dynamic_cast<Dit&>(*net);
  std::swap(dit.blocks[0].modulation, dit.blocks[1].modulation);
  CHECK(compare(Reference("dit"), dit, dit_forward).output > 1e-4);
}

TEST_CASE("models: the preconditioned unet agrees with edm's, and does not with another deviation or epsilon") {
  const auto net = check_denoiser("edm", edm_forward);
  auto& edm = dynamic_cast<EdmDenoiser&>(*net);
  edm.sigma_data = 0.51;
  CHECK(compare(Reference("edm"), edm, edm_forward).output > 1e-4);
  edm.sigma_data = 0.5;
  dynamic_cast<Unet&>(*edm.net).up[0].blocks[1].norm0.eps = 1e-5;
  CHECK(compare(Reference("edm"), edm, edm_forward).output > 1e-9);
}

TEST_CASE("models: denoisers have as many parameters as their references") {
  struct Case {
    const char* name;
    std::int64_t depth, count;
  };
  const Case dits[] = {{"dit_small(image=32 patch=2 in=4 out=8 classes=1000", 12, 32865056},
                       {"dit_base(image=32 patch=4 in=4 out=8 classes=1000", 12, 130426496},
                       {"dit_large(image=32 patch=4 in=4 out=8 classes=1000", 24, 457988224},
                       {"dit_xl(image=32 patch=2 in=4 out=8 classes=1000", 28, 674834720}};
  for (const Case& c : dits) {  // affine in the depth: large ones need not be built
    CAPTURE(c.name);
    const auto count = [&c](int depth) {
      const Call call = parse_call(fmt::format("{} depth={})", c.name, depth), "test");
      return parameter_count(*build_denoiser(call, {}));
    };
    CHECK(count(1) + (count(2) - count(1)) * (c.depth - 1) == c.count);
  }
  const auto cifar = parse_call("unet(image=32 in=3 mult=2x2x2 classes=10 augment=9)", "test");
  CHECK(parameter_count(*build_denoiser(cifar, {})) == 55735299);
}

TEST_CASE("models: the expression of a denoiser builds it again") {
  for (const char* arch : {kDit, kEdm}) {
    CHECK(built(arch)->arch() == arch);
    CHECK(built(arch)->clone()->arch() == arch);
  }
  CHECK_THROWS_WITH_AS(built("dit_extra()"), doctest::Contains("dit_large"), ConfigError);
  CHECK_THROWS_AS(built("unet(image=20 mult=1x1x1x1)"), ConfigError);
  CHECK_THROWS_AS(built("dit(image=9 patch=2)"), ConfigError);
  CHECK_THROWS_AS(built("edm(net=dit() sigma_data=0)"), ConfigError);
}

TEST_CASE("models: a copy of a denoiser is its own, with the paths of its taps") {
  const auto net = random(kEdm);
  const auto copy = net->clone();
  const Tensor x = randn({2, 2, 4, 4});
  const Conditions given{.t = uniform({2}, 0.5, 2)};
  const auto mid = [&](const Model& d) {
    Ctx ctx;
    ctx.wanted = {{"net.mid.0"}};
    ctx.given = &given;
    d.forward(x, ctx);
    REQUIRE(ctx.tapped.size() == 1);
    return ctx.tapped[0].values();
  };
  const auto before = mid(*net);
  CHECK(mid(*copy) == before);
  for (const auto& [name, p] : parameters_of(*copy)) p->value = p->value * 1.5;
  CHECK(mid(*net) == before);
  CHECK(mid(*copy) != before);
}

TEST_CASE("models: a small dit and unet have derivatives to second order in sample, time and every parameter") {
  for (const char* arch : {kDit, kEdm}) {
    CAPTURE(std::string(arch));
    const auto net = random(arch, 0.3);
    std::vector<std::string> names;
    std::vector<Tensor> values{randn({2, 2, 4, 4}), uniform({2}, 0.5, 2)};
    for (const auto& [name, p] : parameters_of(*net)) {
      names.push_back(name);
      values.push_back(p->value);
    }
    const Tensor label = labels_of({1, 3});
    const auto f = [&](std::span<const Tensor> in) {
      std::vector<std::pair<std::string, Tensor>> pairs;
      for (std::size_t i = 0; i < names.size(); ++i) pairs.emplace_back(names[i], in[i + 2]);
      const ParamValues substitute = with_params(*net, pairs);
      Ctx ctx;
      ctx.substitute = &substitute;
      return Tensors{net->forward(in[0], {.t = in[1], .label = label}, ctx)};
    };
    CHECK(check_grads(f, values, {.order = 2}) == "");
  }
}

TEST_CASE("models: fresh denoisers start as their references say") {
  const auto dit = built(kDit);
  initialize(*dit, Rng(1));
  const Tensor x = randn({3, 2, 4, 4});
  Ctx ctx;
  const Tensor zero = dit->forward(x, {.t = uniform({3}, 0, 999)}, ctx);
  CHECK(sum(square(zero)).item() == 0);
  // Nearly zero is the raw answer of the unet, so the preconditioned one is c_skip x.
  const auto edm = built(kEdm);
  initialize(*edm, Rng(1));
  const Tensor sigma = Tensor::full({3}, 0.5, DType::f64);
  CHECK(relative_error(edm->forward(x, {.t = sigma}, ctx), x * 0.5) < 1e-3);
  CHECK(relative_error(edm->forward(x, {.t = sigma * 1e-6}, ctx), x) < 1e-5);
}

TEST_CASE("models: dit's positions are sinusoids of the column, then of the row") {
  Dit dit({.image = 6, .patch = 2, .width = 16, .depth = 1, .heads = 2});
  const std::vector<double> row = select(dit.positions.value, 0, 5).values();  // column 2 of row 1
  for (std::size_t i = 0; i < 4; ++i) {
    const double f = std::pow(10000.0, -static_cast<double>(i) / 4);
    CHECK(row[i] == doctest::Approx(std::sin(2 * f)).epsilon(1e-6));
    CHECK(row[4 + i] == doctest::Approx(std::cos(2 * f)).epsilon(1e-6));
    CHECK(row[8 + i] == doctest::Approx(std::sin(f)).epsilon(1e-6));
    CHECK(row[12 + i] == doctest::Approx(std::cos(f)).epsilon(1e-6));
  }
}

TEST_CASE("models: the null class is the absent label; conditions a net does not have are refused") {
  const Tensor x = randn({2, 2, 4, 4}), t = uniform({2}, 0.5, 2), null = labels_of({3, 3});
  for (const char* arch : {kDit, kEdm}) {
    const auto net = random(arch);
    Ctx ctx;
    const Tensor absent = net->forward(x, {.t = t}, ctx);
    CHECK(net->forward(x, {.t = t, .label = null}, ctx).values() == absent.values());
    CHECK(relative_error(net->forward(x, {.t = t, .label = labels_of({3, 0})}, ctx), absent) > 1e-6);
    CHECK_THROWS_AS(net->forward(x, {.t = t, .s = t}, ctx), ConfigError);
    CHECK_THROWS_AS(net->forward(x, {}, ctx), ShapeError);
    CHECK_THROWS_AS(net->forward(x, {.t = t, .label = labels_of({0})}, ctx), ShapeError);
    CHECK_THROWS_AS(net->forward(x, {.t = t, .label = labels_of({0, 4})}, ctx), ValueError);
    CHECK_THROWS_AS(net->forward(randn({2, 2, 6, 6}), {.t = t}, ctx), ShapeError);
  }
  Ctx ctx;
  CHECK_THROWS_AS(random(kDit)->forward(x, {.t = t, .augment = randn({2, 2})}, ctx), ConfigError);
  const auto plain = built("unet(image=4 in=2 width=4 mult=1 blocks=1 attention=none)");
  CHECK_THROWS_AS(plain->forward(x, {.t = t, .label = null}, ctx), ConfigError);
}

TEST_CASE("models: labels are dropped by global sample, in training only") {
  const ClassLabels labels(3, 0.5);
  const Tensor given = randint({200}, 3);
  Ctx ctx;
  CHECK(labels(given, 200, kCpu, ctx).values() == given.values());
  ctx.training = true;
  const std::vector<double> whole = labels(given, 200, kCpu, ctx).values(), before = given.values();
  int dropped = 0;
  for (std::size_t i = 0; i < 200; ++i) {
    CHECK((whole[i] == 3 || whole[i] == before[i]));
    dropped += whole[i] == 3;
  }
  CHECK(dropped > 70);
  CHECK(dropped < 130);
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 50; i < 90; ++i) samples.push_back(i);
  ctx.samples = labels_of(samples);
  CHECK(labels(slice(given, 0, 50, 90), 40, kCpu, ctx).values() ==
        std::vector<double>(whole.begin() + 50, whole.begin() + 90));
}

TEST_CASE("models: a dit with two times starts as the one it was copied from, then reads the second") {
  const auto one = random(kDit);
  std::string arch = kDit;
  arch.replace(arch.find("times=1"), 7, "times=2");
  const auto two = built(arch);
  initialize(*two, Rng(1));
  for (const auto& [name, p] : parameters_of(*two))
    for (const auto& from : parameters_of(*one))
      if (from.name == name) p->value = from.parameter->value;
  const Tensor x = randn({2, 2, 4, 4}), t = uniform({2}, 1, 2), s = uniform({2}, 0, 1);
  Ctx ctx;
  CHECK_THROWS_AS(two->forward(x, {.t = t}, ctx), ConfigError);
  const Tensor y = one->forward(x, {.t = t}, ctx);
  CHECK(relative_error(two->forward(x, {.t = t, .s = s}, ctx), y) < 1e-14);
  auto& dit = dynamic_cast<Dit&>(*two);
  dit.end_embed->down.weight.value = randn(dit.end_embed->down.weight.value.shape());
  CHECK(relative_error(two->forward(x, {.t = t, .s = s}, ctx), y) > 1e-4);
}

TEST_CASE("models: a denoiser stops after its taps, computes in bf16 close to f32, and runs on the meta device") {
  const Tensor x = randn({2, 2, 4, 4}), t = uniform({2}, 0.5, 2), label = labels_of({0, 2});
  const std::pair<const char*, std::vector<TapId>> cases[] = {
      {kDit, {{"patch_embed"}, {"blocks.0.attn", "attn"}, {"blocks.0.mlp", "pre_act"}, {"blocks.0"}}},
      {kEdm, {{"net.stem"}, {"net.down.0"}, {"net.down.1.blocks.0.attn", "attn"}, {"net.mid.1"}, {"net.up.1"}}}};
  for (const auto& [expression, taps] : cases) {
    const std::string arch = expression;
    CAPTURE(arch);
    auto net = random(arch, 0.3);
    for (const TapId& tap : taps) {
      Ctx whole, early;
      whole.wanted = early.wanted = {tap};
      early.stop_after_taps = true;
      net->forward(x, {.t = t, .label = label}, whole);
      CHECK_FALSE(net->forward(x, {.t = t, .label = label}, early).defined());
      REQUIRE(early.tapped.size() == 1);
      CHECK(early.tapped[0].values() == whole.tapped[0].values());
    }
    convert(*net, DType::f32);
    set_shadows(*net, DType::bf16);
    const Tensor single = cast(x, DType::f32), sigma = cast(t, DType::f32);
    Ctx full, low;
    low.compute = DType::bf16;
    const Tensor y = net->forward(single, {.t = sigma, .label = label}, full);
    const Tensor z = net->forward(single, {.t = sigma, .label = label}, low);
    CHECK(z.dtype() == DType::f32);
    CHECK(relative_error(z, y) < 0.05);
    CHECK(relative_error(z, y) > 1e-6);
    move_to(*net, kMeta);
    Tape tape;
    Leaves leaves(tape);
    Ctx meta;
    meta.training = true;
    meta.leaves = &leaves;
    const Tensor on_meta = Tensor::empty(x.shape(), DType::f32, kMeta);
    const Conditions shapes{.t = Tensor::empty({2}, DType::f32, kMeta), .label = Tensor::empty({2}, DType::i64, kMeta)};
    CHECK(net->forward(on_meta, shapes, meta).shape() == x.shape());
  }
}
