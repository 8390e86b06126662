// tests/tensor/random_test.cpp -- random tensors are the fields of tensor/rng.h, row by row.
#include "tensor/random.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <numeric>

using namespace retort;

namespace {
const RngKey kKey = Rng(7).stream("random_test", 3);

std::vector<float> row_of(std::uint64_t sample, std::size_t n) {
  std::vector<float> v(n);
  fill_normal(v, kKey, sample);
  return v;
}
}  // namespace

TEST_CASE("random: a tensor without samples is sample 0 of the key") {
  const Tensor t = normal({3, 5001}, kKey);
  CHECK(t.values<float>() == row_of(0, 3 * 5001));
  CHECK(normal({}, kKey).item<float>() == row_of(0, 1)[0]);
  CHECK(normal({0, 4}, kKey).numel() == 0);
}

TEST_CASE("random: a row depends on its sample index, not on its place in the batch") {
  const std::vector<std::int64_t> ids = {9, 2, 70000};
  const Tensor samples = Tensor::of<std::int64_t>(ids, {3});
  const Tensor t = normal({3, 4100}, kKey, DType::f32, kCpu, &samples);
  const auto v = t.values<float>();
  for (std::size_t r = 0; r < 3; ++r) {
    const std::vector<float> row(v.begin() + static_cast<std::ptrdiff_t>(r) * 4100,
                                 v.begin() + static_cast<std::ptrdiff_t>(r + 1) * 4100);
    CHECK(row == row_of(static_cast<std::uint64_t>(ids[r]), 4100));
  }
}

TEST_CASE("random: dtypes are the same draws, rounded or widened") {
  const auto wide = normal({100}, kKey, DType::f64).values();
  CHECK(normal({100}, kKey).values() == wide);
  const auto narrow = normal({100}, kKey, DType::bf16).values();
  for (std::size_t i = 0; i < wide.size(); ++i) CHECK(narrow[i] == doctest::Approx(wide[i]).epsilon(0x1p-8));
  const auto u = uniform({20000}, kKey).values();
  CHECK(std::accumulate(u.begin(), u.end(), 0.0) / 20000 == doctest::Approx(0.5).epsilon(0.02));
}

TEST_CASE("random: a mask is true where the uniform draw is below the probability") {
  const auto u = uniform({5000}, kKey).values();
  const Tensor mask = bernoulli({5000}, 0.3, kKey);
  CHECK(mask.dtype() == DType::boolean);
  const auto m = mask.values();
  for (std::size_t i = 0; i < u.size(); ++i) REQUIRE(m[i] == (u[i] < 0.3 ? 1.0 : 0.0));
}

TEST_CASE("random: threads change nothing, meta gives shapes") {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = normal({200, 333}, kKey).values();
  omp_set_num_threads(2);
  const auto two = normal({200, 333}, kKey).values();
  omp_set_num_threads(threads);
  CHECK(one == two);
  CHECK(normal({4, 5}, kKey, DType::bf16, kMeta).shape() == Shape{4, 5});
}

TEST_CASE("random: errors name the draw") {
  const Tensor two = Tensor::full({2}, 0, DType::i64), negative = Tensor::full({1}, -1, DType::i64);
  CHECK_THROWS_WITH_AS(normal({3, 2}, kKey, DType::f32, kCpu, &two),
                       "random_normal: needs a sample index per row of [3, 2]; got i64[2] on cpu", ShapeError);
  CHECK_THROWS_AS(normal({1, 2}, kKey, DType::f32, kCpu, &negative), ValueError);
  CHECK_THROWS_AS(uniform({2}, kKey, DType::i64), DTypeError);
  CHECK_THROWS_AS(bernoulli({2}, 1.5, kKey), ValueError);
}
