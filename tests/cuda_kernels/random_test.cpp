// tests/cuda_kernels/random_test.cpp -- random fields, dropout, gather and scatter-add beside the CPU's: the same bits.
#include "cuda_kernels/random.h"

#include <doctest/doctest.h>

#include "autograd/ops/index.h"
#include "autograd/ops/nn.h"
#include "cuda_kernels/embedding.h"
#include "tensor/rng.h"
#include "tests/cuda_kernels/on_tensors.h"

using namespace retort;
using namespace retort::kernel_test;
namespace k = retort::kernels;

TEST_CASE("cuda_kernels: draws have the bits of tensor/rng.h") {
  const RngKey key = Rng(9).stream("field", 3, 1);
  const k::PhiloxKey same{key.key, key.step, key.attempt};
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    const std::size_t n = 1031;
    const std::int64_t rows = 2, first = 5;
    std::vector<std::uint32_t> words(n);
    std::vector<float> numbers(n);
    auto* const bits = room_for<std::uint32_t>(stream, 2 * n);
    float *const uniforms = room_for<float>(stream, 2 * n), *const normals = room_for<float>(stream, 2 * n);
    const auto each = static_cast<std::int64_t>(n);
    const k::PhiloxKey* const there = upload(stream, std::vector<k::PhiloxKey>{same});
    k::random({k::Draw::bits, there, bits, rows, each, first}, stream);
    k::random({k::Draw::uniform, there, uniforms, rows, each, first}, stream);
    k::random({k::Draw::normal, there, normals, rows, each, 0, upload(stream, std::vector<std::int64_t>{5, 6})},
              stream);
    const auto got_bits = download(stream, bits, 2 * n);
    const auto got_uniforms = download(stream, uniforms, 2 * n), got_normals = download(stream, normals, 2 * n);
    for (std::size_t r = 0; r < 2; ++r) {
      fill_bits(words, key, 5 + r);
      CHECK(std::equal(words.begin(), words.end(), got_bits.begin() + static_cast<std::ptrdiff_t>(r * n)));
      fill_uniform(std::span(numbers), key, 5 + r);
      CHECK(std::equal(numbers.begin(), numbers.end(), got_uniforms.begin() + static_cast<std::ptrdiff_t>(r * n)));
      fill_normal(std::span(numbers), key, 5 + r);
      CHECK(std::equal(numbers.begin(), numbers.end(), got_normals.begin() + static_cast<std::ptrdiff_t>(r * n)));
    }
  });
}

TEST_CASE("cuda_kernels: dropout drops what the CPU drops") {
  const RngKey key = Rng(9).stream("dropout", 2);
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const DType t : kTrainingTypes) {
      const Tensor x = sample({3, 59}, t, 1);
      const std::vector<std::int64_t> ids{7, 0, 12};
      std::byte* const y = room_like(stream, x.shape(), t);
      const k::PhiloxKey* const there = upload(stream, std::vector<k::PhiloxKey>{{key.key, key.step, key.attempt}});
      k::dropout({type_of(t), upload_tensor(stream, x), y, 0.3, there, 3, 59, upload(stream, ids)}, stream);
      const Tensor want = dropout(x, 0.3, key, Tensor::of(std::span<const std::int64_t>(ids), {3}));
      CHECK(same_values(download_tensor(stream, y, x.shape(), t), want));
    }
  });
}

TEST_CASE("cuda_kernels: gather, and scatter-add with repeated indices") {
  on_every_schedule([&](gpu::Device& d) {
    const gpu::Stream stream = d.default_stream();
    for (const DType t : kTrainingTypes) {
      const std::int64_t vocabulary = 19, width = 37, count = 150;  // more than a block has threads
      const Tensor table = sample({vocabulary, width}, t, 2), rows = whole_numbers({count, width}, t, 3);
      std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
      for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>(i * i % 17);
      const Tensor index = Tensor::of(std::span<const std::int64_t>(ids), {count});
      const std::int64_t* const pi = upload(stream, ids);
      std::byte* const y = room_like(stream, rows.shape(), t);
      k::gather_rows({type_of(t), upload_tensor(stream, table), pi, y, count, width}, stream);
      CHECK(same_values(download_tensor(stream, y, rows.shape(), t), embedding(table, index)));
      float* const sums = upload_as<float>(stream, Tensor::zeros({vocabulary, width}));
      k::scatter_add_rows({type_of(t), upload_tensor(stream, rows), pi, sums, count, width}, stream);
      CHECK(
          same_values(download_tensor(stream, sums, table.shape(), DType::f32), index_add(rows, 0, index, vocabulary)));
    }
  });
}
