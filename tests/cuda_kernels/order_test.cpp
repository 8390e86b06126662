// tests/cuda_kernels/order_test.cpp -- sorts, scans, distances, transport, borders and resampling beyond one block, on
// every schedule beside the CPU's ops.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/image.h"
#include "autograd/ops/pairwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "autograd/ops/transport.h"
#include "tests/cuda_kernels/on_emulators.h"

using namespace retort;
using namespace retort::kernel_test;
using retort::testing::emulator;

namespace {
using In = std::vector<Tensor>;

void check_sorted(const Tensor& x, bool descending, std::int64_t count) {
  INFO(x.str(), descending ? " descending" : "", ", first ", count);
  const auto in_order = [&](const Tensor& t) {
    return count == x.size(0) ? sort(t, 0, descending) : top_k(t, count, 0, descending);
  };
  const Sorted want = in_order(x);
  for (const auto schedule : {gpu::Schedule::forward, gpu::Schedule::reverse, gpu::Schedule::random}) {
    const Sorted got = in_order(to(x, emulator(schedule)));
    CHECK(same_values(to(got.values, kCpu), want.values));
    CHECK(to(got.indices, kCpu).values<std::int64_t>() == want.indices.values<std::int64_t>());
  }
}
}  // namespace

TEST_CASE("cuda_kernels: sort is stable over runs that are merged, with NaN, infinities and signed zeros") {
  for (const DType t : kTrainingTypes)
    for (const std::int64_t n : {1, 37, 2500}) {
      std::vector<double> x = whole_numbers({n, 2}, t, 1).values();  // many ties
      const double odd[] = {NAN, -INFINITY, -0.0, INFINITY};
      for (std::size_t i = 0; i < 4 && n > 20; ++i) x[7 + 5 * i] = odd[i];
      for (const bool descending : {false, true}) {
        check_sorted(Tensor::from(x, {n, 2}, t), descending, n);
        check_sorted(Tensor::from(x, {n, 2}, t), descending, (n + 1) / 2);
      }
    }
}

TEST_CASE("cuda_kernels: scans carry their state over chunks, forward and backward") {
  for (const bool reverse : {false, true}) {
    CAPTURE(reverse);
    const Tensor x = sample({2, 600}, DType::f32, 1), cotangent = sample({2, 600}, DType::f32, 2);
    const Tensor factors = x * .1 + 1.0;
    for (const bool exclusive : {false, true}) {
      check_on_emulators([=](const In& in, Device) { return cumsum(in[0], 1, reverse, exclusive); }, {x}, cotangent,
                         DType::f32);
      check_on_emulators([=](const In& in, Device) { return cumprod(in[0], 1, reverse, exclusive); }, {x * .01 + 1.0},
                         cotangent, DType::f32);
    }
    check_on_emulators([=](const In& in, Device) { return logcumsumexp(in[0], 1, reverse); }, {x}, cotangent,
                       DType::f32);
    check_on_emulators([=](const In& in, Device) { return linear_recurrence(in[0], in[1], 1, reverse); },
                       {factors * .9, x}, cotangent, DType::f32);
  }
}

TEST_CASE("cuda_kernels: distances over tiles, close points among them") {
  const Tensor a = sample({2, 19, 40}, DType::f32, 1) + 100.0, b = concat(In{slice(a, 1, 0, 3) + 1e-3, a}, 1);
  const Tensor cotangent = sample({2, 19, 22}, DType::f32, 3);
  check_on_emulators([](const In& in, Device) { return l1_distance(in[0], in[1]); }, {a, b}, cotangent, DType::f32);
  const Tensor want = sum(square(unsqueeze(a, 2) - unsqueeze(b, 1)), {3});
  const Tensor got = squared_distance(to(a, emulator(gpu::Schedule::random)), to(b, emulator(gpu::Schedule::random)));
  CHECK(distance(to(got, kCpu), want) < tolerance(DType::f32));
}

TEST_CASE("cuda_kernels: transport between marginals of their own") {
  const Tensor cost = sample({2, 40, 33}, DType::f32, 1), cotangent = sample({2, 40, 33}, DType::f32, 2);
  const Tensor rows = square(sample({2, 40}, DType::f32, 3)) + .1,
               columns = square(sample({2, 33}, DType::f32, 4)) + .1;
  check_on_emulators(
      [](const In& in, Device) { return sinkhorn(in[0], in[1], in[2], {.epsilon = .5, .iterations = 5}); },
      {cost, rows, columns}, cotangent, DType::f32);
}

TEST_CASE("cuda_kernels: borders of every kind and resampling, with their adjoints") {
  for (const DType t : kTrainingTypes) {
    const Tensor x = sample({2, 3, 9, 12}, t, 1);
    for (const PadMode mode : {PadMode::reflect, PadMode::replicate, PadMode::circular}) {
      const auto f = [=](const In& in, Device) { return pad(in[0], {0, 0, 3, 5}, {0, 0, 8, 2}, mode); };
      check_on_emulators(f, {x}, sample({2, 3, 20, 19}, t, 2), t);
    }
    for (const ResizeOptions& how :
         {ResizeOptions{.mode = ResizeMode::bicubic, .antialias = true}, ResizeOptions{.mode = ResizeMode::bilinear},
          ResizeOptions{.mode = ResizeMode::nearest}}) {
      const auto f = [=](const In& in, Device) { return resize2d(in[0], 5, 17, how); };
      check_on_emulators(f, {x}, sample({2, 3, 5, 17}, t, 3), t);
    }
  }
}
