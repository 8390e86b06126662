// tests/nn/module_test.cpp -- modules as values: copies, substitution, taps, dropout, accumulated gradients.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "nn/grad_accumulator.h"
#include "nn/layers/embedding.h"
#include "nn/models/mlp.h"
#include "nn/optim/sgd.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
MlpNet small_mlp(double dropout = 0) {
  MlpNet m({.in = 6, .classes = 3, .widths = {5, 4}, .act = Activation::tanh, .dropout = dropout});
  convert(m, DType::f64);
  initialize(m, Rng(1));
  return m;
}

/// Gradients of sum(y * cotangent) for x in training mode, added to `sink`.
void pull(const Model& m, GradAccumulator& sink, const Tensor& x, const Tensor& cotangent, Ctx ctx) {
  Tape tape;
  Leaves leaves(tape);
  sink.attach(leaves);
  ctx.leaves = &leaves;
  const Tensor y = m.forward(x, ctx);
  tape.backward(std::span(&y, 1), std::span(&cotangent, 1), sink);
}

Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count) {
  Layout part = t.layout();
  part.offset += first * part.strides[0];
  part.shape[0] = count;
  return t.view(part);
}
Tensor indices(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 0; i < count; ++i) all.push_back(first + i);
  return Tensor::of<std::int64_t>(all, {count});
}
}  // namespace

TEST_CASE("nn: training a copy leaves the original's bits") {
  MlpNet original = small_mlp();
  const auto before = values_of(original);
  const std::unique_ptr<Model> copy = original.clone();
  CHECK(values_of(*copy) == before);
  GradAccumulator grads(parameters_of(*copy));
  pull(*copy, grads, randn({4, 6}), randn({4, 3}, 2), {});
  Sgd sgd({.momentum = 0.9});
  sgd.step(grads.parameters(), grads.grads(), 0.1);
  CHECK(values_of(original) == before);
  for (const auto& trained : values_of(*copy)) CHECK_MESSAGE(trained.second != before.at(trained.first), trained.first);
  copy_values(*copy, original);
  CHECK(values_of(*copy) == before);
}

TEST_CASE("nn: architectures are named by the expression that builds them") {
  CHECK(small_mlp(0.25).arch() == "mlp(in=6 classes=3 widths=5x4 act=tanh dropout=0.25)");
  CHECK(MlpNet({.widths = {}}).arch() == "mlp(in=784 classes=10 widths=none act=relu dropout=0)");
  CHECK(widths_from_text("32x64x128") == std::vector<int>{32, 64, 128});
  CHECK(widths_from_text("none").empty());
  for (const char* bad : {"", "x", "32x", "3 2", "0", "-1", "a"}) CHECK_THROWS_AS(widths_from_text(bad), ConfigError);
  CHECK_THROWS_WITH_AS(activation_from_name("rely"), doctest::Contains("relu"), ConfigError);
  MlpNet m = small_mlp();
  CHECK(parameters_of(m).front().name == "layers.0.linear.weight");
  CHECK(parameters_of(m).back().name == "head.bias");
  CHECK(parameter_count(m) == 6 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3);
}

TEST_CASE("nn: a module is a function of substituted parameters") {
  MlpNet m = small_mlp();
  const Tensor x = randn({4, 6}), bias = randn({3}, 5);
  Ctx plain;
  const Tensor y = m.forward(x, plain);
  const ParamValues values = with_params(m, {{"head.bias", bias}});
  Ctx ctx;
  ctx.substitute = &values;
  const Tensor shifted = m.forward(x, ctx);
  CHECK(relative_error(shifted, y + bias) < 1e-15);
  CHECK(m.head.bias.value.values() == std::vector<double>(3, 0.0));
  CHECK_THROWS_WITH_AS(with_params(m, {{"head.bios", bias}}), doctest::Contains("head.bios"), ValueError);
  CHECK_THROWS_AS(with_params(m, {{"head.weight", bias}}), ShapeError);
  Tape tape;
  const Tensor leaf = tape.watch(bias);
  const ParamValues tracked_values = with_params(m, {{"head.bias", leaf}});
  ctx.substitute = &tracked_values;
  const Tensor g = tape.gradients(sum(m.forward(x, ctx)), std::span(&leaf, 1))[0];
  CHECK(g.values() == std::vector<double>(3, 4.0));
}

TEST_CASE("nn: taps are delivered in the order asked for, and the model stops after the last one") {
  const MlpNet m = small_mlp();
  const Tensor x = randn({4, 6});
  Ctx ctx;
  ctx.wanted = {{"head", "in"}, {"layers.0", "pre_act"}, {"layers.1", "out"}};
  const Tensor y = m.forward(x, ctx);
  REQUIRE(ctx.tapped.size() == 3);
  CHECK(y.shape() == Shape{4, 3});
  CHECK(ctx.tapped[0].values() == ctx.tapped[2].values());
  Ctx inner;
  CHECK(ctx.tapped[1].values() == m.layers[0].linear(x, inner).values());
  Ctx early;
  early.wanted = {{"layers.0", "out"}};
  early.stop_after_taps = true;
  CHECK_FALSE(m.forward(x, early).defined());
  CHECK(early.tapped[0].shape() == Shape{4, 5});
  Ctx missing;
  missing.wanted = {{"layers.7", "out"}};
  missing.stop_after_taps = true;
  CHECK(m.forward(x, missing).defined());
  CHECK_FALSE(missing.finished());
}

TEST_CASE("nn: dropout keeps the mean, and depends on layer, step and global sample only") {
  struct Twice : Module {
    Dropout first{0.3}, second{0.3};
    void visit(Visitor& v) override {
      v("first", first);
      v("second", second);
    }
  } m;
  name_modules(m);
  const Tensor x = Tensor::full({8, 5000}, 1, DType::f64);
  Ctx ctx;
  CHECK(m.first(x, ctx).values() == x.values());
  ctx.training = true;
  const std::vector<double> a = m.first(x, ctx).values();
  double mean = 0;
  for (const double v : a) {
    CHECK_UNARY(v == 0 || v == doctest::Approx(1 / 0.7).epsilon(1e-15));
    mean += v / static_cast<double>(a.size());
  }
  CHECK(mean == doctest::Approx(1).epsilon(0.01));  // 3 standard errors
  CHECK(m.first(x, ctx).values() == a);
  CHECK(m.second(x, ctx).values() != a);
  Ctx part = ctx;
  part.samples = indices(6, 2);
  const std::vector<double> tail(a.begin() + 6 * 5000, a.end());
  CHECK(m.first(rows(x, 6, 2), part).values() == tail);
  ctx.step = 1;
  CHECK(m.first(x, ctx).values() != a);
  CHECK_THROWS_AS(m.first(x, part), ShapeError);
  CHECK_THROWS_AS(Dropout(1), ValueError);
}

TEST_CASE("nn: an embedding gives the rows of its table, and its gradient counts the ids") {
  Embedding table(5, 3);
  initialize(table, Rng(1));
  const std::vector<std::int64_t> list = {4, 0, 4, 2};
  const Tensor ids = Tensor::of<std::int64_t>(list, {2, 2});
  Tape tape;
  Leaves leaves(tape);
  GradAccumulator sink(parameters_of(table));
  sink.attach(leaves);
  Ctx ctx;
  ctx.leaves = &leaves;
  const Tensor y = table(ids, ctx), one = Tensor::full({2, 2, 3}, 1);
  const std::vector<double> rows_read = y.values(), all = table.weight.value.values();
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t k = 0; k < 3; ++k) CHECK(rows_read[3 * i + k] == all[static_cast<std::size_t>(3 * list[i]) + k]);
  tape.backward(std::span(&y, 1), std::span(&one, 1), sink);
  CHECK(sink.grads()[0].values() == std::vector<double>{1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 2, 2, 2});
}

TEST_CASE("nn: gradients accumulate over micro-batches, in f32 from 16-bit, and are zero where nothing arrives") {
  MlpNet m = small_mlp(0.4);
  const Tensor x = randn({8, 6}), cotangent = randn({8, 3}, 2);
  Ctx ctx;
  ctx.training = true;
  GradAccumulator whole(parameters_of(m)), parts(parameters_of(m));
  pull(m, whole, x, cotangent, ctx);
  for (const std::int64_t first : {0, 2, 4, 6}) {
    ctx.samples = indices(first, 2);
    pull(m, parts, rows(x, first, 2), rows(cotangent, first, 2), ctx);
  }
  for (std::size_t i = 0; i < whole.parameters().size(); ++i)
    CHECK(relative_error(parts.grads()[i], whole.grads()[i]) < 1e-13);

  const std::vector<double> sum = whole.grads()[0].values();
  whole.scale(0.5);
  CHECK(whole.grads()[0].values()[0] == sum[0] / 2);
  whole.zero();
  m.head.weight.trainable = false;
  ctx.samples = {};
  pull(m, whole, x, cotangent, ctx);
  CHECK(whole.grads()[0].values() == sum);
  for (std::size_t i = 0; i < whole.parameters().size(); ++i)
    if (whole.parameters()[i].name == "head.weight") CHECK(whole.grads()[i].values() == std::vector<double>(12, 0.0));

  convert(m, DType::f32);
  set_shadows(m, DType::bf16);
  ctx.compute = DType::bf16;
  GradAccumulator low(parameters_of(m));
  pull(m, low, cast(x, DType::bf16), cast(cotangent, DType::bf16), ctx);
  CHECK(low.grads()[0].dtype() == DType::f32);
  CHECK(relative_error(low.grads()[0], Tensor::from(sum, {5, 6}, DType::f64)) < 0.03);
  GradAccumulator loose(parameters_of(m));
  CHECK_THROWS_AS(loose.add(0, x), AutogradError);
}
