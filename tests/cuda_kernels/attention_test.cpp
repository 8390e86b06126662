// tests/cuda_kernels/attention_test.cpp -- attention and rotary positions beside the CPU's ops, forward and backward.
#include "cuda_kernels/attention.h"

#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"
#include "tests/cuda_kernels/on_emulators.h"

using namespace retort;
using namespace retort::kernel_test;
using retort::testing::emulator;

namespace {
struct Sizes {
  std::int64_t batch, heads, kv_heads, queries, keys, width, value_width;
};

/// `mask` may be undefined; it is not differentiated.
void check_attention(const Sizes& s, DType dtype, AttentionOptions options) {
  INFO(s.queries, " queries, ", s.keys, " keys, width ", s.width, ", ", name_of(dtype));
  const std::vector<Tensor> inputs{sample({s.batch, s.heads, s.queries, s.width}, dtype, 1),
                                   sample({s.batch, s.kv_heads, s.keys, s.width}, dtype, 2),
                                   sample({s.batch, s.kv_heads, s.keys, s.value_width}, dtype, 3)};
  const Tensor mask = options.mask;
  check_on_emulators(
      [&](const std::vector<Tensor>& in, Device device) {
        options.mask = to(mask, device);
        return attention(in[0], in[1], in[2], options);
      },
      inputs, sample({s.batch, s.heads, s.queries, s.value_width}, dtype, 4), dtype);
}

Tensor bits(const Shape& shape) { return cast(whole_numbers(shape, DType::f32, 9), DType::boolean); }
}  // namespace

TEST_CASE("cuda_kernels: attention over tiles of queries and keys, causal, grouped, with windows") {
  for (const DType t : kTrainingTypes) {
    check_attention({2, 2, 1, 5, 7, 3, 4}, t, {});
    check_attention({1, 4, 2, 37, 37, 8, 8}, t, {.causal = true});
    check_attention({1, 2, 2, 35, 70, 40, 33}, t, {.causal = true, .window = 30});
  }
  check_attention({1, 1, 1, 70, 35, 4, 4}, DType::f32, {.causal = true});   // the first queries see nothing
  check_attention({1, 1, 1, 3, 34, 129, 161}, DType::f32, {.window = 20});  // results wider than a block holds
}

TEST_CASE("cuda_kernels: attention with masks of bits and of numbers, whole and broadcast") {
  for (const DType t : kTrainingTypes) {
    check_attention({2, 2, 1, 5, 35, 4, 4}, t, {.mask = bits({2, 1, 1, 35})});
    check_attention({2, 2, 2, 34, 6, 4, 4}, t, {.causal = true, .mask = bits({2, 2, 34, 6})});
    check_attention({2, 2, 1, 5, 35, 4, 4}, t, {.mask = sample({2, 5, 35}, t, 5)});
  }
  check_attention({1, 2, 1, 5, 6, 4, 4}, DType::bf16, {.mask = sample({5, 6}, DType::f32, 5)});
}

TEST_CASE("cuda_kernels: attention reads heads of a projection in place, and writes them so") {
  const auto f = [](const std::vector<Tensor>& in, Device) {
    const auto heads = [&](std::int64_t first) { return transpose(slice(in[0], 2, first, first + 2), 1, 2); };
    return attention(heads(0), heads(2), heads(4), {.causal = true});
  };
  check_on_emulators(f, {sample({2, 34, 6, 5}, DType::f32, 6)}, sample({2, 2, 34, 5}, DType::f32, 7), DType::f32);
}

TEST_CASE("cuda_kernels: attention's results do not depend on what stands beside a row") {
  // The bits of a query stay when others are added: no sum runs over them.
  const Tensor q = to(sample({1, 1, 40, 6}, DType::f32, 1), emulator(gpu::Schedule::random)),
               k = to(sample({1, 1, 50, 6}, DType::f32, 2), q.device()),
               v = to(sample({1, 1, 50, 6}, DType::f32, 3), q.device());
  const Tensor whole = to(attention(q, k, v), kCpu), some = to(attention(slice(q, 2, 32, 40), k, v), kCpu);
  CHECK(same_values(slice(whole, 2, 32, 40), some));
}

TEST_CASE("cuda_kernels: rotary positions in both orders of pairs, on strided rows") {
  for (const DType t : kTrainingTypes)
    for (const RotaryPairs pairs : {RotaryPairs::half, RotaryPairs::interleaved}) {
      const Tensor positions = Tensor::of<std::int64_t>(std::vector<std::int64_t>{0, 3, 1, 700, 9}, {5});
      const auto f = [&](const std::vector<Tensor>& in, Device device) {
        return rotary(transpose(in[0], 1, 2), to(positions, device), 10000, pairs);
      };
      check_on_emulators(f, {sample({2, 5, 3, 8}, t, 8)}, sample({2, 3, 5, 8}, t, 9), t);
    }
}
