// tests/tensor/gemm_test.cpp -- matrix products: exact on integers, the same bits for any number of threads.
#include "tensor/cpu/gemm.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "tensor/cpu/tasks.h"

using namespace retort;
using namespace retort::cpu;

namespace {

using Index = std::int64_t;

struct Size {
  Index m, n, k;
  std::string str() const { return fmt::format("{} x {} x {}", m, n, k); }
};

template <class T>
std::vector<T> integers(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(static_cast<float>(static_cast<int>(random() % 7) - 3));
  return values;
}
template <class T>
std::vector<T> reals(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(uniform(random));
  return values;
}
/// Unlike ==, tells zeros of either sign apart.
template <class T>
bool same_bits(const std::vector<T>& x, const std::vector<T>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

template <class In, class Out>
void naive(Index m, Index n, Index k, double alpha, MatrixView<In> a, MatrixView<In> b, double beta, Out* c,
           Index ldc) {
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j) {
      double sum = 0;
      for (Index p = 0; p < k; ++p)
        sum += double(compute_t<In>(a.data[i * a.row_stride + p * a.col_stride])) *
               double(compute_t<In>(b.data[p * b.row_stride + j * b.col_stride]));
      Out& out = c[i * ldc + j];
      out = static_cast<Out>(
          static_cast<compute_t<In>>(beta == 0 ? alpha * sum : alpha * sum + beta * double(compute_t<In>(out))));
    }
}

/// Every storage of a logical rows x cols matrix that the callers meet: both orders, padded, every other element,
/// one row or one column repeated.
struct Storage {
  Index row_stride, col_stride, extent;
};
std::vector<Storage> storages(Index rows, Index cols) {
  const Index all = std::max<Index>(1, rows * cols);
  return {{std::max<Index>(cols, 1), 1, all},
          {1, std::max<Index>(rows, 1), all},
          {cols + 3, 1, (rows + 1) * (cols + 3)},
          {1, rows + 5, (rows + 5) * (cols + 1)},
          {2 * cols + 1, 2, (rows + 1) * (2 * cols + 1)},
          {0, 1, cols + 1},
          {1, 0, rows + 1},
          {1, 1, rows + cols + 1}};
}

template <class In, class Out>
void check_exact(Engine engine) {
  const Size sizes[] = {{1, 1, 1},    {3, 5, 7}, {1, 33, 20}, {40, 1, 19}, {17, 16, 1},
                        {65, 49, 33}, {0, 4, 3}, {4, 0, 3},   {4, 3, 0}};
  for (const Size& size : sizes)
    for (const Storage& sa : storages(size.m, size.k))
      for (const Storage& sb : storages(size.k, size.n))
        for (const auto& [alpha, beta] : {std::pair{1.0, 0.0}, {1.0, 1.0}, {2.0, -1.0}}) {
          const auto [m, n, k] = size;
          const auto a = integers<In>(sa.extent, 1), b = integers<In>(sb.extent, 2);
          const Index ldc = n + 2;
          auto c = integers<Out>(m * ldc + 1, 3), expected = c;
          const MatrixView<In> va{a.data(), sa.row_stride, sa.col_stride}, vb{b.data(), sb.row_stride, sb.col_stride};
          gemm(m, n, k, alpha, va, vb, beta, c.data(), ldc, engine);
          naive(m, n, k, alpha, va, vb, beta, expected.data(), ldc);
          CAPTURE(size.str());

          REQUIRE(c == expected);
        }
}

struct WithThreads {
  explicit WithThreads(int threads) : saved(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~WithThreads() { omp_set_num_threads(saved); }
  int saved;
};

std::vector<Engine> engines() {
  if (kHaveOneDnn) return {Engine::onednn, Engine::fallback};
  return {Engine::fallback};
}

template <class In, class Out>
void check_threads(const Size& size, bool ta, bool tb, Engine engine) {
  const auto [m, n, k] = size;
  const auto a = reals<In>(m * k, 11), b = reals<In>(k * n, 12);
  const MatrixView<In> va{a.data(), ta ? 1 : k, ta ? m : 1}, vb{b.data(), tb ? 1 : n, tb ? k : 1};
  std::vector<Out> first;
  for (const int threads : {1, 2, 5}) {
    std::vector<Out> c(static_cast<std::size_t>(m * n));
    // A thread of its own has no cached primitives, which would hide that they were made for other threads.
    std::thread([&, m = m, n = n, k = k] {
      omp_set_num_threads(threads);
      gemm(m, n, k, 0.7, va, vb, 0.0, c.data(), n, engine);
    }).join();
    if (threads == 1) first = c;
    CAPTURE(size.str());

    CAPTURE(threads);
    REQUIRE(same_bits(first, c));
  }
}

}  // namespace

TEST_CASE("gemm: integer products are exact for all dtypes, strides, alpha and beta") {
  for (const Engine engine : engines()) {
    check_exact<double, double>(engine);
    check_exact<float, float>(engine);
    check_exact<BFloat16, BFloat16>(engine);
    check_exact<BFloat16, float>(engine);
    check_exact<Half, Half>(engine);
    check_exact<Half, float>(engine);
  }
}

TEST_CASE("gemm: integer products are exact where tiles, panels and slices of k meet") {
  const Size sizes[] = {{1100, 530, 3}, {70, 40, 2100}, {5, 7, 9000}, {300, 130, 20}};
  const auto check = [&]<class In, class Out>(In, Out) {
    for (const Engine engine : engines())
      for (const Size& size : sizes)
        for (const bool strided : {false, true}) {
          const auto [m, n, k] = size;
          const Index step = strided ? 2 : 1;
          const auto a = integers<In>(m * k * step, 4), b = integers<In>(k * n * step, 5);
          std::vector<Out> c(static_cast<std::size_t>(m * n)), expected = c;
          const MatrixView<In> va{a.data(), k * step, step}, vb{b.data(), step, k * step};
          gemm(m, n, k, 1.0, va, vb, 0.0, c.data(), n, engine);
          naive(m, n, k, 1.0, va, vb, 0.0, expected.data(), n);
          CAPTURE(size.str());
          REQUIRE(c == expected);
        }
  };
  check(float{}, float{});
  check(double{}, double{});
  check(BFloat16{}, BFloat16{});
  check(Half{}, float{});
}

TEST_CASE("gemm: batches with broadcast axes equal one product at a time") {
  const Index m = 9, n = 11, k = 13;
  // [2, 3] products; A varies along the second axis only, B along the first only, C interleaves rows of the products.
  const std::vector<BatchAxis> axes{{2, 0, k * n, 3 * n}, {3, m * k, 0, n}};
  const Index ldc = 6 * n;
  for (const Engine engine : engines()) {
    const auto a = integers<float>(3 * m * k, 6), b = integers<float>(2 * k * n, 7);
    auto c = integers<float>(m * ldc, 8), expected = c;
    gemm_batched<float, float>(axes, m, n, k, 1.0, {a.data(), k, 1}, {b.data(), n, 1}, 1.0, c.data(), ldc, engine);
    for (Index x = 0; x < 2; ++x)
      for (Index y = 0; y < 3; ++y)
        naive<float, float>(m, n, k, 1.0, {a.data() + y * m * k, k, 1}, {b.data() + x * k * n, n, 1}, 1.0,
                            expected.data() + x * 3 * n + y * n, ldc);
    CHECK(c == expected);
  }
  // Row blocks against one B, which are folded into a taller product; an empty batch writes nothing.
  const auto a = integers<float>(5 * m * k, 6), b = integers<float>(k * n, 7);
  std::vector<float> c(5 * m * n, 1.f), expected = c, untouched = c;
  const BatchAxis rows{5, m * k, 0, m * n}, none{0, m * k, 0, m * n};
  gemm_batched<float, float>({&rows, 1}, m, n, k, 1.0, {a.data(), k, 1}, {b.data(), n, 1}, 0.0, c.data(), n);
  naive<float, float>(5 * m, n, k, 1.0, {a.data(), k, 1}, {b.data(), n, 1}, 0.0, expected.data(), n);
  CHECK(c == expected);
  c = untouched;
  gemm_batched<float, float>({&none, 1}, m, n, k, 1.0, {a.data(), k, 1}, {b.data(), n, 1}, 0.0, c.data(), n);
  CHECK(c == untouched);
}

TEST_CASE("gemm: C is not read when beta is 0") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Engine engine : engines())
    for (const Index k : {0, 5, 5000}) {
      const std::vector<float> a(static_cast<std::size_t>(3 * k + 1), 1.f), b(static_cast<std::size_t>(4 * k + 1), 1.f);
      std::vector<float> c(12, nan);
      gemm<float, float>(3, 4, k, 1.0, {a.data(), std::max<Index>(k, 1), 1}, {b.data(), 4, 1}, 0.0, c.data(), 4,
                         engine);
      for (const float v : c) CHECK(v == static_cast<float>(k));
    }
}

TEST_CASE("gemm: 1, 2 and 5 threads give the same bits") {
  const Size sizes[] = {{128, 128, 128}, {257, 255, 129}, {1, 1000, 700},  {1, 16, 8000},
                        {3, 300, 4000},  {1000, 1, 700},  {1000, 5, 64},   {7, 1500, 64},
                        {8, 8, 20000},   {64, 64, 4000},  {33, 500, 1300}, {300, 260, 90}};
  for (const Engine engine : engines())
    for (const Size& size : sizes)
      for (const bool ta : {false, true})
        for (const bool tb : {false, true}) check_threads<float, float>(size, ta, tb, engine);
  for (const Size& size : sizes) {
    check_threads<double, double>(size, false, true, kDefaultEngine);
    check_threads<BFloat16, BFloat16>(size, false, true, kDefaultEngine);
    check_threads<Half, float>(size, true, false, kDefaultEngine);
  }
}

TEST_CASE("gemm: an exception of a task leaves the parallel region once") {
  const WithThreads scope(2);
  CHECK_THROWS_AS(parallel_tasks(64,
                                 [](Index i) {
                                   if (i >= 3) throw std::length_error("task");
                                 }),
                  std::length_error);
}
