// tests/tensor/pool_test.cpp -- pooling against its definition, on integers so that every sum is exact.
#include "tensor/cpu/pool.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tensor/dtype.h"

using namespace retort;
using namespace retort::cpu;

namespace {

using Index = std::int64_t;

template <class T>
std::vector<T> integers(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(static_cast<float>(static_cast<int>(random() % 5) - 2));
  return values;
}
Index x_count(const PoolShape& s) { return s.n * s.h * s.w * s.c; }
Index y_count(const PoolShape& s) { return s.n * s.out_h() * s.out_w() * s.c; }

std::vector<PoolShape> shapes() {
  return {{2, 3, 8, 8, 2, 2, 2, 2},       {1, 5, 7, 9, 3, 3, 2, 2, 1, 1}, {2, 130, 6, 5, 3, 2, 1, 1, 1, 1},
          {3, 1, 9, 4, 2, 3, 3, 1, 1, 0}, {1, 2, 10, 10, 2, 2, 4, 4},     {0, 2, 4, 4, 2, 2, 2, 2},
          {1, 4, 3, 3, 3, 3, 1, 1}};
}

/// Calls f(y index, x index, position of x in its image) for every element of x under every window, in reading order.
template <class F>
void for_each_covered(const PoolShape& s, const F& f) {
  for (Index n = 0; n < s.n; ++n)
    for (Index oy = 0; oy < s.out_h(); ++oy)
      for (Index ox = 0; ox < s.out_w(); ++ox)
        for (Index c = 0; c < s.c; ++c)
          for (Index i = 0; i < s.kh; ++i)
            for (Index j = 0; j < s.kw; ++j) {
              const Index y = oy * s.stride_h - s.pad_h + i, x = ox * s.stride_w - s.pad_w + j;
              if (y < 0 || y >= s.h || x < 0 || x >= s.w) continue;
              f(std::size_t(((n * s.out_h() + oy) * s.out_w() + ox) * s.c + c),
                std::size_t(((n * s.h + y) * s.w + x) * s.c + c), std::int32_t(y * s.w + x));
            }
}

template <class T>
void check_max(const PoolShape& s) {
  const auto x = integers<T>(x_count(s), 1), dy = integers<T>(y_count(s), 2);
  std::vector<double> best(dy.size(), -1e9), grad(x.size());
  std::vector<std::int32_t> where(dy.size(), -1);
  std::vector<std::size_t> chosen(dy.size());
  for_each_covered(s, [&](std::size_t iy, std::size_t ix, std::int32_t position) {
    if (double(compute_t<T>(x[ix])) <= best[iy]) return;
    best[iy] = double(compute_t<T>(x[ix]));
    where[iy] = position;
    chosen[iy] = ix;
  });
  for (std::size_t i = 0; i < dy.size(); ++i) grad[chosen[i]] += double(compute_t<T>(dy[i]));
  std::vector<T> y(dy.size()), dx(x.size(), T(9));
  std::vector<std::int32_t> argmax(dy.size());
  max_pool_forward(s, x.data(), y.data(), argmax.data());
  max_pool_backward(s, dy.data(), argmax.data(), dx.data());
  CHECK(argmax == where);
  for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(double(compute_t<T>(y[i])) == best[i]);
  for (std::size_t i = 0; i < dx.size(); ++i) REQUIRE(double(compute_t<T>(dx[i])) == grad[i]);
}

template <class T>
void check_avg(const PoolShape& s, bool count_include_pad) {
  using C = compute_t<T>;
  const auto x = integers<T>(x_count(s), 1), dy = integers<T>(y_count(s), 2);
  std::vector<C> sum(dy.size()), count(dy.size()), grad(x.size());
  for_each_covered(s, [&](std::size_t iy, std::size_t ix, std::int32_t) {
    sum[iy] += C(x[ix]);
    count[iy] += C(1);
  });
  if (count_include_pad) count.assign(count.size(), C(s.kh * s.kw));
  for_each_covered(s, [&](std::size_t iy, std::size_t ix, std::int32_t) { grad[ix] += C(dy[iy]) / count[iy]; });
  std::vector<T> y(dy.size()), dx(x.size(), T(9));
  avg_pool_forward(s, count_include_pad, x.data(), y.data());
  avg_pool_backward(s, count_include_pad, dy.data(), dx.data());
  // Sums of integers are exact and the division rounds once, so that equality is due; gradients add in reading order.
  for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(y[i] == T(sum[i] / count[i]));
  for (std::size_t i = 0; i < dx.size(); ++i) REQUIRE(dx[i] == T(grad[i]));
}

}  // namespace

TEST_CASE("pool: max and average pooling equal their definition for all dtypes") {
  for (const PoolShape& s : shapes()) {
    check_max<double>(s);
    check_max<float>(s);
    check_max<BFloat16>(s);
    check_max<Half>(s);
    for (const bool include : {false, true}) {
      check_avg<double>(s, include);
      check_avg<float>(s, include);
      check_avg<BFloat16>(s, include);
      check_avg<Half>(s, include);
    }
  }
}

TEST_CASE("pool: a NaN wins, also over infinity, and minus infinity has a place") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const PoolShape s{1, 1, 2, 4, 2, 2, 2, 2};
  const std::vector<float> x{1, nan, -inf, -inf, inf, nan, -inf, -inf};
  std::vector<float> y(2);
  std::vector<std::int32_t> argmax(2);
  max_pool_forward(s, x.data(), y.data(), argmax.data());
  CHECK(std::isnan(y[0]));
  CHECK(argmax[0] == 1);
  CHECK(y[1] == -inf);
  CHECK(argmax[1] == 2);
}

TEST_CASE("pool: 1 and 2 threads give the same bits") {
  const PoolShape s{5, 33, 31, 29, 3, 3, 2, 2, 1, 1};
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(x_count(s))), dy(static_cast<std::size_t>(y_count(s)));
  for (float& v : x) v = normal(random);
  for (float& v : dy) v = normal(random);
  std::vector<float> first[4];
  const int saved = omp_get_max_threads();
  for (const int threads : {1, 2}) {
    omp_set_num_threads(threads);
    std::vector<float> y(dy.size()), dx(x.size()), mean(dy.size()), dmean(x.size());
    std::vector<std::int32_t> argmax(dy.size());
    max_pool_forward(s, x.data(), y.data(), argmax.data());
    max_pool_backward(s, dy.data(), argmax.data(), dx.data());
    avg_pool_forward(s, false, x.data(), mean.data());
    avg_pool_backward(s, false, dy.data(), dmean.data());
    std::size_t i = 0;
    for (const auto& result : {y, dx, mean, dmean}) {
      if (threads == 1) first[i] = result;
      CHECK(std::memcmp(first[i].data(), result.data(), result.size() * sizeof(float)) == 0);
      ++i;
    }
  }
  omp_set_num_threads(saved);
}
