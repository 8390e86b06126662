// tests/tensor/conv_test.cpp -- convolution and its gradients: exact on integers, the same bits for any thread count.
#include "tensor/cpu/conv.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "tensor/cpu/conv_plan.h"
#include "tensor/cpu/scratch.h"

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
template <class T>
std::vector<T> reals(Index count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(normal(random));
  return values;
}
Index x_count(const ConvShape& s) { return s.n * s.x_pixels() * s.c; }
Index y_count(const ConvShape& s) { return s.n * s.y_pixels() * s.o; }

/// Position of x under tap k of position o of y; -1 outside.
Index position(const ConvAxis& a, Index o, Index k) {
  const Index i = o * a.stride - a.pad + k * a.dilation;
  return i < a.size ? i : -1;
}

/// Calls f(y index, x index, w index) for every product of the convolution, by its definition.
template <class F>
void for_each_product(const ConvShape& s, const F& f) {
  const Index cg = s.c / s.groups, og = s.o / s.groups;
  const Index pixels = s.y_pixels(), taps = s.d.kernel * s.h.kernel * s.w.kernel;
  for (Index p = 0; p < s.n * pixels; ++p) {
    const Index oz = p % pixels / (s.h.out() * s.w.out()), oy = p / s.w.out() % s.h.out(), ox = p % s.w.out();
    for (Index t = 0; t < taps; ++t) {
      const Index z = position(s.d, oz, t / (s.h.kernel * s.w.kernel));
      const Index y = position(s.h, oy, t / s.w.kernel % s.h.kernel), x = position(s.w, ox, t % s.w.kernel);
      if (z < 0 || y < 0 || x < 0) continue;
      const Index from = ((p / pixels * s.d.size + z) * s.h.size + y) * s.w.size + x;
      for (Index o = 0; o < s.o; ++o)
        for (Index c = 0; c < cg; ++c) f(p * s.o + o, from * s.c + o / og * cg + c, (o * taps + t) * cg + c);
    }
  }
}

template <class T>
std::vector<T> rounded(const std::vector<double>& values) {
  std::vector<T> result;
  for (const double v : values) result.push_back(static_cast<T>(static_cast<compute_t<T>>(v)));
  return result;
}

template <class T>
void check_exact(const ConvShape& s, Engine engine) {
  const auto x = integers<T>(x_count(s), 1), w = integers<T>(s.weights(), 2), dy = integers<T>(y_count(s), 3);
  const auto bias = integers<T>(s.o, 4);
  std::vector<double> y(dy.size()), dx(x.size()), dw(w.size()), db(bias.size());
  const auto value = [](T v) { return double(compute_t<T>(v)); };
  for_each_product(s, [&](Index iy, Index ix, Index iw) {
    y[std::size_t(iy)] += value(x[std::size_t(ix)]) * value(w[std::size_t(iw)]);
    dx[std::size_t(ix)] += value(dy[std::size_t(iy)]) * value(w[std::size_t(iw)]);
    dw[std::size_t(iw)] += value(dy[std::size_t(iy)]) * value(x[std::size_t(ix)]);
  });
  const auto plain = y;
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] += value(bias[i % bias.size()]);
    db[i % bias.size()] += value(dy[i]);
  }
  CAPTURE(s.n);
  CAPTURE(s.c);
  CAPTURE(s.d.size);
  CAPTURE(s.h.size);
  CAPTURE(s.o);
  CAPTURE(s.h.kernel);
  CAPTURE(s.h.stride);
  CAPTURE(s.groups);
  CAPTURE(name_of(dtype_of<T>));
  CAPTURE(engine == Engine::onednn);
  std::vector<T> out(y.size(), T(7)), grad_x(x.size(), T(7)), grad_w(w.size(), T(7)), grad_b(bias.size(), T(7));
  conv_forward<T>(s, x.data(), w.data(), bias.data(), out.data(), engine);
  CHECK(out == rounded<T>(y));
  conv_forward<T>(s, x.data(), w.data(), nullptr, out.data(), engine);
  CHECK(out == rounded<T>(plain));
  conv_backward_data(s, dy.data(), w.data(), grad_x.data(), engine);
  CHECK(grad_x == rounded<T>(dx));
  conv_backward_weights(s, x.data(), dy.data(), grad_w.data(), grad_b.data(), engine);
  CHECK(grad_w == rounded<T>(dw));
  CHECK(grad_b == rounded<T>(db));
}

std::vector<Engine> engines() {
  if (kHaveOneDnn) return {Engine::onednn, Engine::fallback};
  return {Engine::fallback};
}

ConvShape shape(Index n, Index c, Index h, Index w, Index o, Index kh, Index kw) {
  return {n, c, o, {}, {h, kh}, {w, kw}};
}
/// The same with depth.
ConvShape deep(Index d, Index kd, ConvShape s) {
  s.d = {d, kd, s.h.stride, s.h.pad, s.h.dilation};
  return s;
}
ConvShape with(ConvShape s, Index stride, Index pad, Index dilation = 1, Index groups = 1) {
  s.h = {s.h.size, s.h.kernel, stride, pad, dilation};
  s.w = {s.w.size, s.w.kernel, stride, pad, dilation};
  s.groups = groups;
  return s;
}

/// Uneven in every respect: kernel, stride, padding and dilation differ between the axes.
ConvShape uneven() { return {2, 4, 6, {}, {11, 3, 2, 1}, {9, 2, 3, 2, 2}}; }

std::vector<ConvShape> small_shapes() {
  return {with(shape(2, 3, 8, 7, 5, 3, 3), 1, 1),
          with(shape(1, 1, 1, 1, 1, 1, 1), 1, 0),
          with(shape(3, 8, 6, 6, 16, 1, 1), 1, 0),
          with(shape(3, 8, 7, 7, 4, 1, 1), 2, 0),
          with(shape(2, 1, 12, 12, 8, 5, 5), 1, 2),
          with(shape(2, 6, 9, 9, 4, 3, 3), 2, 1),
          with(shape(2, 4, 9, 10, 4, 3, 3), 1, 2, 2),
          with(shape(2, 8, 7, 7, 12, 3, 3), 1, 1, 1, 4),
          with(shape(2, 10, 7, 8, 10, 3, 3), 1, 1, 1, 10),
          with(shape(2, 6, 9, 9, 12, 3, 3), 2, 1, 1, 6),
          with(shape(2, 5, 5, 5, 3, 2, 2), 3, 0),
          with(shape(1, 2, 4, 4, 2, 3, 3), 1, 3),
          uneven(),
          {2, 3, 5, {}, {}, {31, 5, 2, 2, 2}},
          deep(5, 3, with(shape(2, 3, 6, 7, 4, 3, 3), 1, 1)),
          deep(7, 2, with(shape(1, 4, 6, 5, 6, 3, 2), 2, 1, 1, 2)),
          deep(4, 3, with(shape(1, 6, 5, 5, 6, 3, 3), 1, 1, 1, 6)),
          deep(3, 1, with(shape(2, 4, 4, 4, 8, 1, 1), 1, 0)),
          {1, 3, 4, {6, 3, 1, 2, 2}, {5, 1, 2}, {7, 3, 1, 1}}};
}
/// Large enough to be cut: groups of images with a remainder, bands of one image, with strides and dilation.
std::vector<ConvShape> cut_shapes() {
  return {with(shape(37, 8, 12, 12, 16, 3, 3), 1, 1),
          with(shape(1, 16, 41, 23, 24, 3, 3), 1, 1),
          with(shape(1, 32, 61, 33, 24, 3, 3), 2, 1),
          with(shape(2, 8, 58, 30, 20, 5, 5), 1, 4, 2),
          with(shape(1, 96, 96, 48, 32, 2, 2), 4, 0),
          with(shape(3, 32, 40, 40, 32, 3, 3), 1, 1, 1, 32),
          deep(24, 3, with(shape(1, 8, 12, 13, 16, 3, 3), 1, 1)),
          {2, 32, 32, {}, {}, {2000, 9, 2, 4}},
          deep(12, 3, with(shape(2, 32, 12, 12, 32, 3, 3), 1, 1, 1, 32))};
}

/// Results with `threads` OpenMP threads, in a thread of its own: primitives cached by an earlier call would hide that
/// they were made for another number of threads.
template <class T>
std::vector<std::vector<T>> all_results(const ConvShape& s, Engine engine, int threads) {
  const auto x = reals<T>(x_count(s), 1), w = reals<T>(s.weights(), 2), dy = reals<T>(y_count(s), 3);
  std::vector<T> y(dy.size()), dx(x.size()), dw(w.size()), db(std::size_t(s.o));
  std::thread([&] {
    omp_set_num_threads(threads);
    conv_forward<T>(s, x.data(), w.data(), nullptr, y.data(), engine);
    conv_backward_data(s, dy.data(), w.data(), dx.data(), engine);
    conv_backward_weights(s, x.data(), dy.data(), dw.data(), db.data(), engine);
  }).join();
  return {y, dx, dw, db};
}

template <class T>
void check_threads(const ConvShape& s, Engine engine) {
  const auto expected = all_results<T>(s, engine, 1);
  for (const int threads : {2, 5}) {
    const auto results = all_results<T>(s, engine, threads);
    for (std::size_t i = 0; i < results.size(); ++i) {
      CAPTURE(s.n);
      CAPTURE(s.c);
      CAPTURE(i);
      CHECK(std::memcmp(expected[i].data(), results[i].data(), results[i].size() * sizeof(T)) == 0);
    }
  }
}

}  // namespace

TEST_CASE("conv: integer convolutions and gradients are exact for all dtypes and engines") {
  for (const Engine engine : engines())
    for (const ConvShape& s : small_shapes()) {
      check_exact<double>(s, engine);
      check_exact<float>(s, engine);
      check_exact<BFloat16>(s, engine);
      check_exact<Half>(s, engine);
    }
}

TEST_CASE("conv: integer convolutions and gradients are exact where pieces meet") {
  for (const Engine engine : engines())
    for (const ConvShape& s : cut_shapes()) {
      REQUIRE(plan_pieces(s, ConvKind::forward).size() > 1);
      REQUIRE(plan_pieces(s, ConvKind::backward_data).size() > 1);
      REQUIRE(plan_pieces(s, ConvKind::backward_weights).size() > 1);
      check_exact<float>(s, engine);
    }
}

TEST_CASE("conv: 1, 2 and 5 threads give the same bits") {
  for (const Engine engine : engines()) {
    for (const ConvShape& s : cut_shapes()) check_threads<float>(s, engine);
    check_threads<float>(with(shape(4, 3, 16, 16, 8, 3, 3), 1, 1), engine);
    check_threads<BFloat16>(cut_shapes().front(), engine);
    check_threads<double>(cut_shapes()[1], engine);
  }
}

TEST_CASE("conv: an empty batch has zero weight gradients") {
  const ConvShape s = with(shape(0, 2, 4, 4, 3, 3, 3), 1, 1);
  std::vector<float> dw(static_cast<std::size_t>(s.weights()), 1.f), db(3, 1.f);
  conv_backward_weights<float>(s, nullptr, nullptr, dw.data(), db.data());
  CHECK(dw == std::vector<float>(dw.size(), 0.f));
  CHECK(db == std::vector<float>(3, 0.f));
}

TEST_CASE("conv: scratch stays within what conv_scratch_bytes says") {
  const auto check = [](const ConvShape& s, auto zero, Engine engine) {
    using T = decltype(zero);
    const auto x = reals<T>(x_count(s), 1), w = reals<T>(s.weights(), 2), dy = reals<T>(y_count(s), 3);
    const auto peak = [&](const auto& call) {
      std::int64_t bytes = 0;
      std::thread([&] {  // a thread of its own has no scratch from earlier calls
        omp_set_num_threads(1);
        call();
        bytes = scratch_stats().peak;
      })
          .join();
      return bytes;
    };
    std::vector<T> y(dy.size()), dx(x.size()), dw(w.size()), db(std::size_t(s.o));
    const auto bound = [&](ConvKind kind) { return conv_scratch_bytes(s, kind, dtype_of<T>, 1, engine); };
    CHECK(peak([&] { conv_forward<T>(s, x.data(), w.data(), db.data(), y.data(), engine); }) <=
          bound(ConvKind::forward));
    CHECK(peak([&] { conv_backward_data<T>(s, dy.data(), w.data(), dx.data(), engine); }) <=
          bound(ConvKind::backward_data));
    CHECK(peak([&] { conv_backward_weights<T>(s, x.data(), dy.data(), dw.data(), db.data(), engine); }) <=
          bound(ConvKind::backward_weights));
  };
  for (const Engine engine : engines())
    for (const ConvShape& s : {cut_shapes()[0], cut_shapes()[5], with(shape(37, 64, 6, 6, 64, 3, 3), 1, 1)}) {
      check(s, float{}, engine);
      check(s, double{}, engine);
      check(s, BFloat16{}, engine);
      check(s, Half{}, engine);
    }
}
