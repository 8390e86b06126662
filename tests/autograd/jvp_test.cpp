// tests/autograd/jvp_test.cpp -- tangents go with their primals whatever the memory arrangement of either.
#include "autograd/jvp.h"

#include "autograd/check_grads.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/conv.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

TEST_CASE("jvp: a row-major tangent of a channels-last image gives what a channels-last one does") {
  const Tensor x = channels_last(randn({2, 3, 4, 4})), v = randn({2, 3, 4, 4}, 2), w = randn({5, 3, 3, 3}, 3);
  const std::function<Tensor(const Tensor&)> functions[] = {
      [](const Tensor& a) { return avg_pool2d(a); }, [](const Tensor& a) { return max_pool2d(a); },
      [&w](const Tensor& a) { return conv2d(a, w, {}, {.padding = 1}); }};
  for (const auto& f : functions)
    CHECK(jvp(f, x, v, JvpMode::tracked).second.values() ==
          jvp(f, x, channels_last(v), JvpMode::tracked).second.values());
}

TEST_CASE("jvp: ops on images follow ops whose tangents are stored row-major") {
  const Tensor x = randn({2, 4, 4, 4});
  const auto f = [](std::span<const Tensor> in) { return Tensors{avg_pool2d(group_norm(in[0], 2, {}, {}))}; };
  CHECK(check_grads(f, std::span(&x, 1)) == "");
}

TEST_CASE("jvp: detached tangents pass a cast to 16 bits in f32, unrounded; tracked ones take its type") {
  const std::vector<float> at{1, 2, -4}, along{.1F, -.3F, 1e-3F};  // no bf16 holds these
  const Tensor x = Tensor::of<float>(at, {3}), v = Tensor::of<float>(along, {3}), w = Tensor::full({3}, 2);
  const auto f = [&](const Tensor& a) { return cast(a, DType::bf16) * cast(w, DType::bf16); };
  const auto [y, rate] = jvp(f, x, v, JvpMode::detached);
  CHECK(y.dtype() == DType::bf16);
  CHECK(rate.dtype() == DType::f32);
  CHECK(rate.values() == (v * w).values());
  CHECK(jvp(f, x, v, JvpMode::tracked).second.dtype() == DType::bf16);
}
