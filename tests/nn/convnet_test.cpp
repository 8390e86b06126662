// tests/nn/convnet_test.cpp -- the convolutional classifier: structure, taps, micro-batches, batch statistics.
#include "nn/models/convnet.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/grad_accumulator.h"
#include "tensor/write.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
ConvNet small(NormKind norm, DType dtype = DType::f64) {
  ConvNet m({.in_channels = 3, .classes = 4, .widths = {8, 12}, .depth = 2, .norm = norm, .dropout = 0.3});
  convert(m, dtype);
  initialize(m, Rng(1));
  return m;
}

Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count) {
  Layout part = t.layout();
  part.offset += first * part.strides[0];
  part.shape[0] = count;
  return t.view(part);
}

/// Gradients of sum(logits * c) over 32 samples in micro-batches of `size`, training mode.
std::vector<Tensor> gradients(ConvNet& m, const Tensor& x, std::int64_t size) {
  const Tensor c = randn({x.size(0), 4}, 7);
  GradAccumulator sink(parameters_of(m));
  for (std::int64_t first = 0; first < x.size(0); first += size) {
    std::vector<std::int64_t> samples;
    for (std::int64_t i = 0; i < size; ++i) samples.push_back(first + i);
    Tape tape;
    Leaves leaves(tape);
    sink.attach(leaves);
    Ctx ctx;
    ctx.training = true;
    ctx.leaves = &leaves;
    ctx.samples = Tensor::of<std::int64_t>(samples, {size});
    const Tensor y = m.forward(rows(x, first, size), ctx), cotangent = rows(c, first, size);
    tape.backward(std::span(&y, 1), std::span(&cotangent, 1), sink);
  }
  return sink.grads();
}
}  // namespace

TEST_CASE("convnet: names, shapes and the expression that builds it") {
  ConvNet m = small(NormKind::group);
  CHECK(m.arch() == "convnet(in=3 classes=4 widths=8x12 depth=2 stem=0 norm=group act=relu dropout=0.3)");
  CHECK(parameters_of(m).front().name == "stages.0.blocks.0.conv.weight");
  CHECK(parameters_of(m)[1].name == "stages.0.blocks.0.norm.weight");
  CHECK_FALSE(parameters_of(m)[1].parameter->decays);
  CHECK(parameters_of(m)[1].parameter->master_only);
  CHECK(std::get<GroupNorm>(m.stages[1].blocks[0].norm).groups == 4);
  // weights, norm pairs, head
  CHECK(parameter_count(m) == 9 * (3 * 8 + 8 * 8 + 8 * 12 + 12 * 12) + 2 * (8 + 8 + 12 + 12) + 12 * 4 + 4);
  ConvNet bare = small(NormKind::none);
  CHECK(parameters_of(bare)[1].name == "stages.0.blocks.0.conv.bias");
  Ctx ctx;
  CHECK(m.forward(randn({2, 3, 9, 7}), ctx).shape() == Shape{2, 4});
  const std::unique_ptr<Model> copy = m.clone();
  Ctx other;
  CHECK(copy->forward(randn({2, 3, 9, 7}), other).values() == m.forward(randn({2, 3, 9, 7}), ctx).values());
  CHECK_THROWS_AS(ConvNet({.widths = {}}), ConfigError);
  CHECK_THROWS_WITH_AS(norm_from_name("layer"), doctest::Contains("batch"), ConfigError);
}

TEST_CASE("convnet: every stage, the features and the head can be tapped, and the net stops early") {
  const ConvNet m = small(NormKind::group);
  const Tensor x = randn({2, 3, 8, 8});
  Ctx ctx;
  ctx.wanted = {{"stages.0"}, {"stages.1"}, {"features"}, {"head"}, {"stages.1.blocks.0", "pre_act"}};
  const Tensor y = m.forward(x, ctx);
  REQUIRE(ctx.tapped.size() == 5);
  CHECK(ctx.tapped[0].shape() == Shape{2, 8, 8, 8});
  CHECK(ctx.tapped[1].shape() == Shape{2, 12, 4, 4});
  CHECK(ctx.tapped[2].shape() == Shape{2, 12});
  CHECK(ctx.tapped[3].values() == y.values());
  CHECK(ctx.tapped[4].shape() == Shape{2, 12, 4, 4});
  for (std::size_t i = 0; i < 3; ++i) {
    Ctx early;
    early.wanted = {ctx.wanted[i]};
    early.stop_after_taps = true;
    CHECK_FALSE(m.forward(x, early).defined());
    CHECK(early.tapped[0].values() == ctx.tapped[i].values());
  }
}

TEST_CASE(
    "convnet: with group norm and dropout, 1 x 32 and 4 x 8 samples give the same gradients; batch norm differs") {
  const Tensor x = randn({32, 3, 8, 8}, 3);
  ConvNet m = small(NormKind::group);
  const auto whole = gradients(m, x, 32), parts = gradients(m, x, 8);
  for (std::size_t i = 0; i < whole.size(); ++i) CHECK(relative_error(parts[i], whole[i]) < 1e-12);
  ConvNet coupled = small(NormKind::batch);
  CHECK(relative_error(gradients(coupled, x, 8)[0], gradients(coupled, x, 32)[0]) > 1e-3);
}

TEST_CASE("convnet: batch norm reports statistics in training, and evaluation uses the applied ones") {
  ConvNet m = small(NormKind::batch);
  const Tensor x = randn({6, 3, 8, 8}, 3);
  std::vector<StatUpdate> stats;
  Ctx ctx;
  ctx.training = true;
  ctx.stats = &stats;
  m.forward(x, ctx);
  Ctx inner;
  REQUIRE(stats.size() == 8);
  const Tensor conv = m.stages[0].blocks[0].conv(x, inner);
  double mean = 0, square = 0;
  const std::vector<double> values = conv.values();
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t k = 0; k < 64; ++k) mean += values[i * 512 + 64 + k] / 384;
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t k = 0; k < 64; ++k) square += std::pow(values[i * 512 + 64 + k] - mean, 2) / 383;
  // Two micro-batches with the same statistics count once; the second one's differ by 1.
  StatUpdate again = stats[0];
  again.value = again.value + 1.0;
  stats.push_back(again);
  apply_statistics(stats);
  const auto& norm = std::get<BatchNorm2d>(m.stages[0].blocks[0].norm);
  CHECK(norm.running_mean.value.values()[1] == doctest::Approx(0.1 * (mean + 0.5)).epsilon(1e-12));
  CHECK(norm.running_var.value.values()[1] == doctest::Approx(0.9 + 0.1 * square).epsilon(1e-12));
  Ctx eval;
  const double y = norm(conv, eval).values()[64];
  const double expected = (values[64] - 0.1 * (mean + 0.5)) / std::sqrt(0.9 + 0.1 * square + 1e-5);
  CHECK(y == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("convnet: bf16 compute stays close to f32, with norms reading f32 masters; meta gives the shapes") {
  ConvNet m = small(NormKind::group, DType::f32);
  set_shadows(m, DType::bf16);
  const Tensor x = cast(randn({4, 3, 8, 8}), DType::f32);
  Ctx ctx, low;
  low.compute = DType::bf16;
  const Tensor y = m.forward(x, ctx), z = m.forward(cast(x, DType::bf16), low);
  CHECK(z.dtype() == DType::bf16);
  CHECK(relative_error(z, y) < 0.03);
  move_to(m, kMeta);
  Ctx shapes;
  shapes.training = true;
  const Tensor ghost = m.forward(Tensor::empty({4, 3, 8, 8}, DType::f32, kMeta), shapes);
  CHECK(ghost.meta());
  CHECK(ghost.shape() == Shape{4, 4});
}

TEST_CASE("layers: layer and rms norm of a module are the functions, with parameters that stay f32") {
  struct Both : Module {
    LayerNorm layer{6}, bare{6, 1e-5, false};
    RmsNorm rms{6};
    void visit(Visitor& v) override {
      v("layer", layer);
      v("bare", bare);
      v("rms", rms);
    }
  } m;
  convert(m, DType::f64);
  initialize(m, Rng(1));
  CHECK(parameters_of(m).size() == 3);
  const Tensor x = randn({3, 6});
  Ctx ctx;
  const std::vector<double> v = x.values(), layer = m.layer(x, ctx).values(), rms = m.rms(x, ctx).values();
  CHECK(m.bare(x, ctx).values() == layer);
  for (std::size_t r = 0; r < 3; ++r) {
    double mean = 0, square = 0, var = 0;
    for (std::size_t i = 0; i < 6; ++i) mean += v[6 * r + i] / 6;
    for (std::size_t i = 0; i < 6; ++i) square += v[6 * r + i] * v[6 * r + i] / 6;
    for (std::size_t i = 0; i < 6; ++i) var += std::pow(v[6 * r + i] - mean, 2) / 6;
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(layer[6 * r + i] == doctest::Approx((v[6 * r + i] - mean) / std::sqrt(var + 1e-5)).epsilon(1e-13));
      CHECK(rms[6 * r + i] == doctest::Approx(v[6 * r + i] / std::sqrt(square + 1e-6)).epsilon(1e-13));
    }
  }
  CHECK_THROWS_AS(GroupNorm(6, 4), ShapeError);
}
