// tests/cuda_kernels/elementwise_test.cpp -- elementwise kernels and copies beside the CPU's: the same bits.
#include "cuda_kernels/elementwise.h"

#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "cuda_kernels/copy.h"
#include "tensor/primitive.h"
#include "tensor/transfer.h"
#include "tests/cuda_kernels/on_tensors.h"
#include "tests/emulators.h"

using namespace retort;
using namespace retort::kernel_test;
namespace k = retort::kernels;

namespace {

/// The CPU kernel of an op by its name.
Tensor on_cpu(const char* name, std::vector<Tensor> in, DType out) {
  const Primitive op(name);
  const Tensor y = Tensor::empty(in[0].shape(), out);
  run_kernel(op, in, AttrBox{}, std::span(&y, 1));
  return y;
}

k::StridedPair strides_of(const Shape& shape, const Tensor& a, const Tensor& b) {
  k::StridedPair pair;
  pair.rank = shape.rank();
  const auto step = [&](const Tensor& t, int axis) {
    const int own = axis - (shape.rank() - t.rank());
    return own < 0 || (t.shape()[own] == 1 && shape[axis] != 1) ? 0 : t.strides()[own];
  };
  for (int axis = 0; axis < pair.rank; ++axis) {
    pair.extent[axis] = shape[axis];
    pair.first[axis] = step(a, axis);
    pair.second[axis] = step(b, axis);
  }
  return pair;
}

}  // namespace

TEST_CASE("cuda_kernels: whole numbers are compared as such, beyond what f32 tells apart") {
  const Tensor a = Tensor::of<std::int64_t>(std::vector<std::int64_t>{(1ll << 40) + 1, -3, 7, 0}, {4}),
               b = Tensor::of<std::int64_t>(std::vector<std::int64_t>{1ll << 40, 7}, {2, 1});
  const Tensor x = to(a, retort::testing::kEmu), y = to(b, retort::testing::kEmu);
  CHECK(to(equal(x, y), kCpu).values() == equal(a, b).values());
  CHECK(to(less(x, y), kCpu).values() == less(a, b).values());
  CHECK_THROWS_AS(x + y, DTypeError);
}

TEST_CASE("cuda_kernels: unary ops give the bits of the CPU's") {
#define RETORT_TEST_ROW(name, Functor) {#name, k::UnaryOp::name},
  const std::pair<const char*, k::UnaryOp> ops[] = {RETORT_UNARY_OPS(RETORT_TEST_ROW)};
#undef RETORT_TEST_ROW
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const auto& op : ops)
      for (const DType t : kTrainingTypes) {
        INFO(op.first, " ", name_of(t));
        const Tensor x = sample({531}, t, 1, 3);
        const std::byte* const px = upload_tensor(stream, x);
        std::byte* const y = room_like(stream, x.shape(), t);
        k::unary({op.second, type_of(t), px, y, 531}, stream);
        CHECK(same_values(download_tensor(stream, y, x.shape(), t), on_cpu(op.first, {x}, t)));
      }
  });
}

TEST_CASE("cuda_kernels: unary ops at odd sizes and places") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const std::int64_t n : {0, 1, 3, 8, 257, 1025})
      for (const std::int64_t skip : {0, 1}) {
        const Tensor x = sample({n + skip}, DType::bf16, 2);
        const std::byte* const px = upload_tensor(stream, x);
        std::byte* const y = room_like(stream, Shape{n}, DType::bf16);
        k::unary({k::UnaryOp::neg, k::Type::bf16, n + skip ? px + 2 * skip : px, y, n}, stream);
        const auto got = download_tensor(stream, y, Shape{n}, DType::bf16).values(), from = x.values();
        for (std::int64_t i = 0; i < n; ++i)
          REQUIRE(got[static_cast<std::size_t>(i)] == -from[static_cast<std::size_t>(i + skip)]);
      }
  });
}

TEST_CASE("cuda_kernels: binary ops and comparisons give the bits of the CPU's") {
#define RETORT_TEST_ROW(name, Functor) {#name, k::BinaryOp::name},
  const std::pair<const char*, k::BinaryOp> ops[] = {RETORT_BINARY_OPS(RETORT_TEST_ROW)},
                                            tests[] = {RETORT_COMPARISON_OPS(RETORT_TEST_ROW)};
#undef RETORT_TEST_ROW
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    const auto check = [&](const char* name, k::BinaryOp op, DType t, DType out) {
      INFO(name, " ", name_of(t));
      const Tensor a = whole_numbers({277}, t, 3), b = sample({277}, t, 4);
      std::byte* const y = room_like(stream, a.shape(), out);
      k::binary({op, type_of(t), upload_tensor(stream, a), upload_tensor(stream, b), y, strides_of(a.shape(), a, b)},
                stream);
      CHECK(same_values(download_tensor(stream, y, a.shape(), out), on_cpu(name, {a, b}, out)));
    };
    for (const DType t : kTrainingTypes) {
      for (const auto& [name, op] : ops) check(name, op, t, t);
      for (const auto& [name, op] : tests) check(name, op, t, DType::boolean);
    }
  });
}

TEST_CASE("cuda_kernels: binary ops broadcast") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    const Shape shapes[][2] = {{{5, 1, 7}, {3, 1}}, {{4, 5}, {}}, {{6}, {3, 6}}, {{2, 3, 1, 5}, {2, 1, 4, 1}}};
    for (const auto& [left, right] : shapes)
      for (const DType t : kTrainingTypes) {
        const Tensor a = sample(left, t, 5), b = sample(right, t, 6), want = a - b;
        std::byte* const y = room_like(stream, want.shape(), t);
        k::binary({k::BinaryOp::sub, type_of(t), upload_tensor(stream, a), upload_tensor(stream, b), y,
                   strides_of(want.shape(), a, b)},
                  stream);
        CHECK(same_values(download_tensor(stream, y, want.shape(), t), want));
      }
  });
}

TEST_CASE("cuda_kernels: copies turn axes and convert as casts do") {
  const DType types[] = {DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::u8};
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const DType from : types)
      for (const DType to : types) {
        INFO(name_of(from), " to ", name_of(to));
        const bool whole = !is_float(from) || !is_float(to);
        const Tensor x = whole ? cast(whole_numbers({6, 11}, DType::f32, 7) + 4.0, from) : sample({6, 11}, from, 7, 50);
        k::StridedPair shape;
        shape.rank = 2;
        shape.extent[0] = 11, shape.extent[1] = 6;
        shape.first[0] = 1, shape.first[1] = 11;
        shape.second[0] = 6, shape.second[1] = 1;
        std::byte* const y = room_like(stream, {11, 6}, to);
        k::copy({type_of(from), type_of(to), upload_tensor(stream, x), y, shape}, stream);
        CHECK(same_values(download_tensor(stream, y, {11, 6}, to), permute(cast(x, to), {1, 0})));
      }
  });
}
