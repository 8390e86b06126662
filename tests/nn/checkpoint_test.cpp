// tests/nn/checkpoint_test.cpp -- recomputed regions: gradients, memory, taps, statistics; unrolled training steps.
#include "nn/checkpoint.h"

#include "autograd/checkpoint.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "nn/grad_accumulator.h"
#include "nn/models/convnet.h"
#include "nn/models/mlp.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
template <class M, class Config>
M built(const Config& config) {
  M m(config);
  convert(m, DType::f64);
  initialize(m, Rng(1));
  return m;
}
ConvNet small_convnet(NormKind norm) {
  return built<ConvNet>(ConvNetConfig{.in_channels = 2,
                                      .classes = 3,
                                      .widths = {4, 8},
                                      .depth = 2,
                                      .norm = norm,
                                      .act = Activation::gelu,
                                      .dropout = 0.3});
}

struct Run {
  std::vector<Tensor> grads;
  Tensors taps;
  std::int64_t saved = 0, nodes = 0;
  std::vector<StatUpdate> stats;
};
/// Gradients of sum(logits * c) + sum(tap^2) over the taps.
Run run(ConvNet& m, const Tensor& x, bool recompute, const std::vector<TapId>& wanted = {}) {
  Run r;
  Tape tape;
  Leaves leaves(tape);
  GradAccumulator sink(parameters_of(m));
  sink.attach(leaves);
  Ctx ctx;
  ctx.training = true;
  ctx.leaves = &leaves;
  ctx.recompute = recompute;
  ctx.wanted = wanted;
  ctx.stats = &r.stats;
  Tensor total = sum(m.forward(x, ctx) * randn({x.size(0), 3}, 9));
  for (const Tensor& t : ctx.tapped) total = total + sum(square(t));
  r.taps = ctx.tapped;
  for (Tensor& t : r.taps) t = stop_gradient(t);
  r.saved = tape.saved_bytes();
  r.nodes = tape.size();
  const Tensor one = Tensor::scalar(1, DType::f64);
  tape.backward(std::span(&total, 1), std::span(&one, 1), sink);
  r.grads = sink.grads();
  return r;
}
void check_equal(const Run& a, const Run& b) {
  REQUIRE(a.grads.size() == b.grads.size());
  for (std::size_t i = 0; i < a.grads.size(); ++i) CHECK(relative_error(a.grads[i], b.grads[i]) < 1e-14);
}
}  // namespace

TEST_CASE("checkpoint: a region that uses a tracked tensor which is not an input is refused") {
  Tape tape;
  const Tensor x = tape.watch(randn({3})), hidden = tape.watch(randn({3}, 2));
  const CheckpointFunction f = [&](In in) { return Tensors{in[0] * hidden}; };
  CHECK_THROWS_WITH_AS(checkpoint(f, std::span(&x, 1)), doctest::Contains("not an input"), AutogradError);
  const Tensor constant = randn({3}, 2);
  const CheckpointFunction fine = [&](In in) { return Tensors{in[0] * constant}; };
  CHECK(checkpoint(fine, std::span(&x, 1))[0].values() == (x * constant).values());
}

TEST_CASE("checkpoint: regions nest, and a region inside a lower tape is recomputed there too") {
  int calls = 0;
  const CheckpointFunction inner = [&](In in) {
    ++calls;
    return Tensors{exp(in[0] * in[0])};
  };
  const CheckpointFunction outer = [&](In in) { return Tensors{sin(checkpoint(inner, in)[0])}; };
  const double v = 0.3;
  Tape low;
  const Tensor x = low.watch(Tensor::scalar(v, DType::f64));
  Tensor first;
  {
    Tape high;
    const Tensor leaf = high.watch(x);
    first = high.gradients(checkpoint(outer, std::span(&leaf, 1))[0], std::span(&leaf, 1))[0];
  }
  const double second = low.gradients(first, std::span(&x, 1))[0].item();
  const double e = std::exp(v * v), c = std::cos(e), s = std::sin(e);
  CHECK(first.item() == doctest::Approx(c * e * 2 * v).epsilon(1e-14));
  CHECK(second == doctest::Approx(-s * 4 * v * v * e * e + c * e * (2 + 4 * v * v)).epsilon(1e-13));
  CHECK(calls > 2);
}

TEST_CASE("checkpoint: a recomputed ConvNet has the plain one's gradients and saves less, dropout on") {
  const Tensor x = randn({4, 2, 8, 8}, 3);
  ConvNet m = small_convnet(NormKind::group);
  const Run plain = run(m, x, false), recomputed = run(m, x, true);
  check_equal(plain, recomputed);
  CHECK(2 * recomputed.saved < plain.saved);
  CHECK(recomputed.nodes < plain.nodes);
}

TEST_CASE("checkpoint: taps inside recomputed blocks are delivered and differentiable, statistics reported once") {
  const Tensor x = randn({4, 2, 8, 8}, 3);
  ConvNet m = small_convnet(NormKind::batch);
  const std::vector<TapId> wanted = {
      {"features"}, {"stages.1.blocks.0", "pre_act"}, {"stages.0"}, {"stages.0.blocks.1.conv", "in"}, {"no.such"}};
  const Run plain = run(m, x, false, {wanted.begin(), wanted.end() - 1});
  const Run recomputed = run(m, x, true, {wanted.begin(), wanted.end() - 1});
  check_equal(plain, recomputed);
  for (std::size_t i = 0; i < plain.taps.size(); ++i) {
    REQUIRE(recomputed.taps[i].defined());
    CHECK(recomputed.taps[i].values() == plain.taps[i].values());
  }
  CHECK(plain.stats.size() == 8);
  REQUIRE(recomputed.stats.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(recomputed.stats[i].buffer == plain.stats[i].buffer);
    CHECK(recomputed.stats[i].value.values() == plain.stats[i].value.values());
  }
  Ctx early;
  early.recompute = true;
  early.wanted = {wanted[2]};
  early.stop_after_taps = true;
  CHECK_FALSE(m.forward(x, early).defined());
  CHECK(early.tapped[0].shape() == Shape{4, 4, 8, 8});
}

namespace {
enum class Unroll { plain, blocks, steps };

/// Ten steps of gradient descent of `m` on (images, targets) from its own parameters, as a function of images and
/// learning rate; then the loss on other data.
Tensor loss_after_training(Model& m, const Tensor& images, const Tensor& lr, Unroll how) {
  const auto parameters = parameters_of(m);
  const Tensor targets = randn({images.size(0), 3}, 21);
  // Captured by value: checkpointed steps are called again in the backward walk, after this function has returned.
  const auto loss_of = [=, &m](In values, const Tensor& x, const Tensor& want) {
    ParamValues substitute;
    for (std::size_t i = 0; i < parameters.size(); ++i) substitute.emplace(parameters[i].parameter, values[i]);
    Ctx ctx;
    ctx.training = true;
    ctx.substitute = &substitute;
    ctx.recompute = how == Unroll::blocks;
    return mean(square(m.forward(x, ctx) - want));
  };
  // in: the parameters, images, learning rate. out: the parameters after one step.
  const auto step = [=](In in) {
    const In now = in.first(parameters.size());
    Tape tape;
    Tensors leaves;
    for (const Tensor& t : now) leaves.push_back(tape.watch(t));
    const Tensors g = tape.gradients(loss_of(leaves, in[now.size()], targets), leaves);
    Tensors next;
    for (std::size_t i = 0; i < now.size(); ++i) next.push_back(now[i] - in.back() * g[i]);
    return next;
  };
  Tensors values;
  for (const auto& [name, p] : parameters) values.push_back(p->value);
  for (int t = 0; t < 10; ++t) {
    Tensors in = values;
    in.push_back(images);
    in.push_back(lr);
    values = how == Unroll::steps ? checkpoint(CheckpointFunction(step), in, parameters.size()) : step(in);
  }
  return loss_of(values, randn({5, images.size(1), images.size(2), images.size(3)}, 22), randn({5, 3}, 23));
}

struct Unrolled {
  Tensor image_grad;
  double lr_grad;
  std::int64_t saved;
};
Unrolled unrolled(Model& m, const Tensor& images, double lr, Unroll how) {
  Tape tape;
  const Tensor leaves[] = {tape.watch(images), tape.watch(Tensor::scalar(lr, DType::f64))};
  const Tensor loss = loss_after_training(m, leaves[0], leaves[1], how);
  const std::int64_t saved = tape.saved_bytes();
  const Tensors g = tape.gradients(loss, leaves);
  return {g[0], g[1].item(), saved};
}

void check_unrolled(Model& m) {
  const Tensor images = randn({8, 1, 4, 4}, 20), direction = randn({8, 1, 4, 4}, 24);
  constexpr double lr = 0.5, h = 1e-5;
  const Unrolled plain = unrolled(m, images, lr, Unroll::plain);
  const auto value = [&](double along, double rate) {
    return loss_after_training(m, images + along * direction, Tensor::scalar(rate, DType::f64), Unroll::plain).item();
  };
  const double slope = sum(plain.image_grad * direction).item();
  CHECK(std::abs(slope) > 1e-3);
  CHECK(slope == doctest::Approx((value(h, lr) - value(-h, lr)) / (2 * h)).epsilon(1e-6));
  CHECK(plain.lr_grad == doctest::Approx((value(0, lr + h) - value(0, lr - h)) / (2 * h)).epsilon(1e-6));
  for (const Unroll how : {Unroll::blocks, Unroll::steps}) {
    const Unrolled other = unrolled(m, images, lr, how);
    CHECK(relative_error(other.image_grad, plain.image_grad) < 1e-12);
    CHECK(other.lr_grad == doctest::Approx(plain.lr_grad).epsilon(1e-12));
    if (how == Unroll::steps) CHECK(3 * other.saved < plain.saved);
  }
}
}  // namespace

TEST_CASE("checkpoint: gradients through ten unrolled training steps agree with finite differences") {
  SUBCASE("mlp") {
    MlpNet m = built<MlpNet>(MlpConfig{.in = 16, .classes = 3, .widths = {5}, .act = Activation::tanh, .dropout = 0.2});
    check_unrolled(m);
  }
  SUBCASE("convnet with group norm") {
    ConvNet m = built<ConvNet>(ConvNetConfig{
        .classes = 3, .widths = {2, 4}, .depth = 1, .norm = NormKind::group, .act = Activation::silu, .dropout = 0.2});
    check_unrolled(m);
  }
}
