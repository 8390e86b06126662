// tests/nn/models_image_test.cpp -- networks over images of transformers and timm: variants of ResNet, ViT, DeiT and
// DINOv2 against their references, corners of sizes, and keys that make no sense.
#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/train/models.h"
#include "nn/models/clip.h"
#include "nn/models/resnet.h"
#include "nn/models/vit.h"
#include "tensor/transfer.h"
#include "tests/emulators.h"
#include "tests/nn/reference.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Values and gradients agree, and values to the last digits.
void check_closely(const std::string& name) {
  check_reference(name);
  const Reference reference(name);
  CHECK_MESSAGE(reference.compare_evaluation(*reference.model()).output < 1e-10, name);
  CHECK_MESSAGE(reference.compare_evaluation(*reference.model(DType::f32)).output < 1e-5, name);
}

std::unique_ptr<Model> built(const std::string& arch) {
  auto model = build_model(parse_call(arch, "test"), {.channels = 3, .height = 8, .width = 8, .classes = 4});
  initialize(*model, Rng(3));
  return model;
}

Shape result(const std::string& arch, const Shape& image) {
  Ctx ctx;
  return built(arch)->forward(Tensor::full(image, 0.5), ctx).shape();
}
}  // namespace

TEST_CASE("models: residual networks of any stages agree with transformers', odd and oblong images included") {
  check_closely("resnet_basic");
  check_closely("resnet_early");
  CHECK(after<ResNet>("resnet_early", [](ResNet& net) {
          auto& body = net.stages[1].blocks[0].body;  // the stride of later versions
          std::swap(body[0].conv.options.stride, body[1].conv.options.stride);
        }) > 1e-3);
  CHECK(after<ResNet>("resnet_basic", [](ResNet& net) { std::get<BatchNorm2d>(net.stem.norm).eps = 1e-3; }) > 1e-6);
  const std::string small = "resnet(stem=4 widths=8x16 blocks=1x1)";
  CHECK(result(small, {2, 3, 1, 1}) == Shape{2, 4});
  CHECK(result(small, {0, 3, 9, 7}) == Shape{0, 4});
  CHECK(built(small)->arch() == "resnet(in=3 classes=4 stem=4 widths=8x16 blocks=1x1 block=bottleneck)");
  CHECK(built("resnet(widths=64x128x256x512 blocks=2x2x2x2 block=basic)")->arch() == "resnet(in=3 classes=4 depth=18)");
  for (const char* wrong : {"resnet(widths=8x16 blocks=1)", "resnet(widths=6 blocks=1)", "resnet(widths=none blocks=1)",
                            "resnet(widths=8 blocks=1 block=basic stride=first)", "resnet(depth=18 stride=first)",
                            "resnet(widths=8 blocks=1 block=plain)", "resnet(depth=18 blocks=1)"})
    CHECK_THROWS_AS_MESSAGE(built(wrong), ConfigError, wrong);
}

TEST_CASE("models: vision transformers of transformers and timm agree with those, and do not with another key") {
  for (const char* name : {"vit_transformers", "vit_states", "deit_transformers", "vit_avg"}) check_closely(name);
  CHECK(after<Vit>("vit_transformers", [](Vit& vit) { vit.norm.eps = 1e-6; }) > 1e-8);
  CHECK(after<Vit>("vit_states", [](Vit& vit) { vit.norm.eps = 1e-6; }) > 1e-7);
  CHECK(after<Vit>("vit_states", [](Vit& vit) { std::get<Mlp>(vit.blocks[1].mlp).act = Activation::gelu; }) > 1e-6);
  CHECK(after<Vit>("vit_avg", [](Vit& vit) { vit.config.norm_pooled = false; }) > 1e-4);
  CHECK(after<Vit>("vit_avg", [](Vit& vit) { vit.config.pool = VitPool::token; }) > 1e-3);
  CHECK(after<Vit>("deit_transformers", [](Vit& vit) { std::swap(vit.head, vit.head_dist); }) > 1e-3);
}

TEST_CASE("models: dinov2 agrees with transformers', its positions resampled, and does not with another filter") {
  for (const char* name : {"dinov2", "dinov2_giant", "dinov2_registers"}) check_closely(name);
  CHECK(after<Vit>("dinov2", [](Vit& vit) { vit.config.resample = VitResample::antialias; }) > 1e-6);
  CHECK(after<Vit>("dinov2", [](Vit& vit) { std::swap(vit.blocks[0].scale1, vit.blocks[0].scale2); }) > 1e-4);
  CHECK(after<Vit>("dinov2_registers", [](Vit& vit) { vit.config.resample = VitResample::bicubic; }) > 1e-4);
  CHECK(after<Vit>("dinov2_giant", [](Vit& vit) {
          auto& mlp = std::get<JoinedSwiGlu>(vit.blocks[1].mlp);  // the halves change places
          const auto half = mlp.in.bias.value.size(0) / 2;
          const std::int64_t sizes[] = {half, half};
          const auto halves = split(mlp.in.weight.value, sizes, 0);
          mlp.in.weight.value = concat(Tensors{halves[1], halves[0]}, 0);
        }) > 1e-4);
}

TEST_CASE("models: shapes of a vision transformer's results, and keys that make no sense") {
  const std::string small = "vit(patch=4 width=12 depth=1 heads=3";
  CHECK(result(small + ")", {2, 3, 8, 8}) == Shape{2, 4});
  CHECK(result(small + ")", {0, 3, 8, 8}) == Shape{0, 4});
  CHECK(result(small + " classes=0)", {2, 3, 8, 8}) == Shape{2, 12});
  CHECK(result(small + " classes=0 pool=token_avg)", {2, 3, 8, 8}) == Shape{2, 24});
  CHECK(result(small + " classes=0 pool=none registers=2 prompts=1)", {2, 3, 8, 8}) == Shape{2, 8, 12});
  CHECK(result(small + " image=8x12 classes=0 pool=none)", {1, 3, 8, 12}) == Shape{1, 7, 12});
  CHECK(result(small + " resample=bicubic)", {1, 3, 4, 16}) == Shape{1, 4});
  CHECK_THROWS_WITH_AS(result(small + ")", {1, 3, 4, 16}), doctest::Contains("resample=bicubic"), ShapeError);
  CHECK_THROWS_AS(result(small + " resample=bicubic)", {1, 3, 4, 15}), ShapeError);
  CHECK_THROWS_AS(result(small + " resample=bicubic)", {1, 3, 0, 8}), ShapeError);
  CHECK_THROWS_AS(result(small + ")", {3, 8, 8}), ShapeError);
  for (const char* wrong : {" image=9)", " image=8x9)", " image=8x8x8)", " image=none)", " pool=max)", " pool=none)",
                            " qkv=both)", " act=swish)", " resample=nearest)", " norm=none)", " eps=0)"})
    CHECK_THROWS_AS_MESSAGE(built(small + wrong), ConfigError, wrong);
  CHECK_THROWS_AS(built("deit(patch=4 width=12 depth=1 heads=3 pool=avg)"), ConfigError);
  CHECK_THROWS_AS(built("deit(patch=4 width=12 depth=1 heads=3 classes=0 norm=pooled)"), ConfigError);
  for (const char* fixture : {"vit_transformers", "vit_states", "vit_avg", "deit_transformers", "dinov2",
                              "dinov2_giant", "dinov2_registers", "resnet_early"}) {
    const auto model = Reference(fixture).model(DType::f32);
    const auto again = build_model(parse_call(model->arch(), "test"), {});
    CHECK(again->arch() == model->arch());
    CHECK(parameter_count(*again) == parameter_count(*model));
  }
  const std::string kept =
      "deit(image=8 patch=4 in=3 classes=4 width=12 depth=1 heads=3 hidden=48 dropout=0 "
      "drop_path=0 dist_head=none registers=1 qkv=separate qkv_bias=none act=relu eps=0.001 "
      "layer_scale=0.5 pre_norm=layer)";
  CHECK(built(kept)->arch() == kept);
}

TEST_CASE("models: clip's towers agree with transformers', and do not with another activation, end or norm") {
  for (const char* name : {"clip_text", "clip_text_end", "clip_vision", "clip_vision_states"}) check_closely(name);
  CHECK(after<ClipText>("clip_text", [](ClipText& m) { m.config.end = 5; }) > 1e-2);
  CHECK(after<ClipText>("clip_text_end", [](ClipText& m) { m.config.end = -1; }) > 1e-2);
  CHECK(after<ClipText>("clip_text", [](ClipText& m) { m.blocks[1].attn.config.causal = false; }) > 1e-3);
  CHECK(after<ClipText>("clip_text", [](ClipText& m) { std::get<Mlp>(m.blocks[2].mlp).act = Activation::gelu; }) >
        1e-5);
  CHECK(after<ClipText>("clip_text", [](ClipText& m) { m.end.config.scaled = false; }) > 1e-3);
  CHECK(after<ClipVision>("clip_vision", [](ClipVision& m) { m.tower.pre_norm.reset(); }) > 1e-3);
  CHECK(after<ClipVision>("clip_vision", [](ClipVision& m) { m.tower.norm.eps = 1e-6; }) > 1e-8);
  CHECK(after<ClipVision>("clip_vision", [](ClipVision& m) { m.end.config.unit = false; }) > 1e-2);
}

TEST_CASE("models: a text of clip ends at its end token, and corners of clip's keys") {
  const std::string small = "clip_text(vocab=9 context=6 width=12 depth=1 heads=3 project=5";
  const auto row = [](std::vector<std::int64_t> tokens) {
    const auto n = static_cast<std::int64_t>(tokens.size());
    return Tensor::of<std::int64_t>(tokens, {1, n});
  };
  const auto distance = [&](const std::string& more, const Tensor& a, const Tensor& b) {
    const auto model = built(small + more);
    Ctx ctx;
    return sum(square(model->forward(a, ctx) - model->forward(b, ctx))).item();
  };
  CHECK(distance(" end=7)", row({3, 4, 7}), row({3, 4, 7, 8, 7})) < 1e-12);
  CHECK(distance(" end=7)", row({3, 4, 7}), row({3, 7, 4})) > 1e-4);
  CHECK(distance(" end=largest)", row({3, 4, 7}), row({3, 4, 7, 0, 7})) < 1e-12);
  CHECK(distance(" end=7)", row({3, 4, 5}), row({3, 8, 8})) < 1e-12);  // without an end: the first state
  Ctx ctx;
  const auto model = built(small + " norm=unit scale=learned)");
  CHECK(sum(square(model->forward(row({1, 2}), ctx))).item() == doctest::Approx(1 / 0.07 / 0.07).epsilon(1e-4));
  CHECK(model->forward(Tensor::zeros({0, 2}, DType::i64), ctx).shape() == Shape{0, 5});
  CHECK_THROWS_AS(model->forward(Tensor::zeros({1, 0}, DType::i64), ctx), ShapeError);
  CHECK_THROWS_AS(model->forward(Tensor::zeros({1, 7}, DType::i64), ctx), ShapeError);
  CHECK_THROWS_AS(model->forward(row({9}), ctx), ValueError);
  CHECK(model->arch() == model->clone()->arch());
  CHECK(result("clip_vision(patch=4 width=12 depth=1 heads=3 project=0)", {2, 3, 8, 8}) == Shape{2, 12});
  for (const char* wrong : {" scale=learned)", " end=9)", " end=last)", " end=1.5)", " norm=two)", " heads=5)"})
    CHECK_THROWS_AS_MESSAGE(built(small + wrong), ConfigError, wrong);
  for (const char* fixture : {"clip_text", "clip_text_end", "clip_vision", "clip_vision_states"}) {
    const auto filled = Reference(fixture).model(DType::f32);
    CHECK(build_model(parse_call(filled->arch(), "test"), {})->arch() == filled->arch());
  }
}

TEST_CASE("models: encoders stop after their taps, compute in bf16 close to f32, on meta and on an emulated GPU") {
  struct Case {
    std::string arch;
    Tensor x;
    TapId tap;
  };
  const auto tokens = [](std::vector<std::int64_t> ids) { return Tensor::of<std::int64_t>(ids, {2, 4}); };
  std::vector<double> u(2 * 3 * 8 * 12);
  fill_uniform(std::span(u), Rng(2).stream("image"), 0);
  const Tensor image = Tensor::from(u, {2, 3, 8, 12}, DType::f32);
  const std::string sizes = "width=12 depth=2 heads=3 hidden=20";
  const Case cases[] = {
      {"roberta(vocab=9 context=8 pool=mean norm=unit " + sizes + ")", tokens({3, 4, 1, 1, 5, 6, 7, 1}), {"blocks.0"}},
      {"clip_text(vocab=9 context=8 end=7 norm=unit scale=learned " + sizes + ")",
       tokens({3, 4, 7, 1, 5, 6, 1, 7}),
       {"blocks.1.mlp", "pre_act"}},
      {"clip_vision(image=8x12 patch=4 norm=unit " + sizes + ")", image, {"tower.pre_norm"}},
      {"dinov2(image=16 patch=4 registers=2 act=swiglu resample=antialias " + sizes + ")",
       image,
       {"blocks.0.mlp", "pre_act"}},
      {"resnet(stem=8 widths=16x32 blocks=1x1 stride=first)", image, {"stages.0"}}};
  for (const Case& c : cases) {
    CAPTURE(c.arch);
    const auto model = built(c.arch);
    Ctx whole, early;
    whole.wanted = early.wanted = {c.tap};
    early.stop_after_taps = true;
    const Tensor y = model->forward(c.x, whole);
    CHECK_FALSE(model->forward(c.x, early).defined());
    REQUIRE(early.tapped.size() == 1);
    CHECK(early.tapped[0].values() == whole.tapped[0].values());
    const auto error = [&](const Tensor& z) {
      return std::sqrt(sum(square(cast(z, DType::f32) - y)).item() / sum(square(y)).item());
    };
    const auto there = model->clone();
    const Device device = emulator(gpu::Schedule::forward);
    move_to(*there, device);
    Ctx plain, low;
    const bool text = c.x.dtype() == DType::i64;
    CHECK(error(to(there->forward(text ? c.x : to(c.x, device), plain), kCpu)) < 1e-5);
    set_shadows(*model, DType::bf16);
    low.compute = DType::bf16;
    const double rounded = error(model->forward(text ? c.x : cast(c.x, DType::bf16), low));
    CHECK(rounded < 0.05);
    CHECK(rounded > 1e-6);
    move_to(*model, kMeta);
    Tape tape;
    Leaves leaves(tape);
    Ctx meta;
    meta.training = true;
    meta.leaves = &leaves;
    CHECK(model->forward(Tensor::empty(c.x.shape(), c.x.dtype(), kMeta), meta).shape() == y.shape());
  }
}
