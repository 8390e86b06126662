// tests/nn/conv_block_test.cpp -- fused paths of convolution blocks against the same blocks run part by part.
#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "nn/layers/residual.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// What a block gives, and its gradients by parameter when training.
struct Result {
  Tensor out;
  std::vector<Tensor> grads;
  std::vector<StatUpdate> stats;
};

/// With `apart`, taps are wanted at every block's pre_act, so that norm, sum and activation stay separate ops.
Result run(const Residual& block, const Tensor& x, bool training, bool apart) {
  Tape tape;
  Leaves leaves(tape);
  Result result;
  Ctx ctx;
  ctx.training = training;
  ctx.stats = &result.stats;
  if (training) ctx.leaves = &leaves;
  if (apart)
    for (const Module* m : {static_cast<const Module*>(&block), static_cast<const Module*>(&block.body[0]),
                            static_cast<const Module*>(&block.body[1]), static_cast<const Module*>(&*block.shortcut)})
      ctx.wanted.push_back({m->path(), "pre_act"});
  const Tensor y = block(x, ctx);
  result.out = y.unlifted();
  if (!training) return result;
  const Tensor cot = randn(y.shape(), 9);
  GradMap grads;
  tape.backward(std::span(&y, 1), std::span(&cot, 1), grads);
  for (int leaf = 0; leaf < tape.leaves(); ++leaf) result.grads.push_back(grads[leaf]);
  // Leaves are numbered as the parts were called; gradients are compared in the order of the parameters.
  std::vector<Tensor> ordered;
  for (const auto& p : parameters_of(const_cast<Residual&>(block)))
    for (int leaf = 0; leaf < tape.leaves(); ++leaf)
      if (leaves.parameter(leaf) == p.parameter) ordered.push_back(result.grads[static_cast<std::size_t>(leaf)]);
  result.grads = ordered;
  return result;
}

Residual block_with_shortcut() {
  Residual block = basic_residual(5, 7, 2);
  convert(block, DType::f64);
  name_modules(block, "block");
  std::uint64_t seed = 20;
  for (const auto& p : parameters_of(block)) p.parameter->value = randn(p.parameter->value.shape(), ++seed);
  for (const auto& b : buffers_of(block)) b.buffer->value = uniform(b.buffer->value.shape(), 0.5, 1.5, ++seed);
  return block;
}
}  // namespace

TEST_CASE("conv_block: a residual block gives the same in fused ops as in separate ones") {
  const Residual block = block_with_shortcut();
  const Tensor x = randn({3, 5, 9, 8}, 1);
  for (const bool training : {false, true}) {
    INFO("training ", training);
    const Result fused = run(block, x, training, false), apart = run(block, x, training, true);
    CHECK(relative_error(fused.out, apart.out) <= 1e-13);
    REQUIRE(fused.grads.size() == apart.grads.size());
    CHECK(fused.grads.size() == (training ? 9 : 0));
    for (std::size_t i = 0; i < fused.grads.size(); ++i) CHECK(relative_error(fused.grads[i], apart.grads[i]) <= 1e-12);
    REQUIRE(fused.stats.size() == apart.stats.size());
    CHECK(fused.stats.size() == (training ? 6 : 0));
  }
}

TEST_CASE("conv_block: outside of training a residual block holds its input, one hidden image and the result") {
  const Residual block = [] {
    Residual b = basic_residual(16, 16, 1);
    name_modules(b, "block");
    return b;
  }();
  const Tensor x = cast(randn({4, 16, 32, 32}), DType::f32);
  const std::int64_t image = x.numel() * 4;
  MemoryAccount& account = MemoryAccount::current_account();
  account.reset_peak();
  const std::int64_t before = account.current();
  Ctx ctx;
  const Tensor y = block(channels_last(x), ctx);
  CHECK(account.peak() - before < 3 * image + image / 4);  // a channels-last copy of x included
}
