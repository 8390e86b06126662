// tests/autograd/special_values_test.cpp -- derivatives where the plain formula would give NaN, and at kinks.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/distance.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"

using namespace retort;

namespace {
Tensor scalar(double v) { return Tensor::scalar(v, DType::f64); }

/// df/dx at x, and d2f/dx2 through a second tape.
template <class F>
std::pair<double, double> derivatives(F f, double at) {
  Tape outer;
  const Tensor x = outer.watch(scalar(at));
  Tape inner;
  const Tensor y = inner.watch(x);
  const Tensor first = inner.gradients(f(y), std::span(&y, 1))[0];
  if (!first.lift()) return {first.item(), 0.0};
  const Tensor second = outer.gradients(first, std::span(&x, 1))[0];
  return {first.item(), second.item()};
}
template <class F>
double slope(F f, double at) {
  return derivatives(f, at).first;
}
}  // namespace

TEST_CASE("special values: kinks take the documented side") {
  CHECK(slope(retort::relu, 0.0) == 0.0);
  CHECK(slope(retort::abs, 0.0) == 0.0);
  CHECK(slope([](const Tensor& x) { return leaky_relu(x, 0.25); }, 0.0) == 0.25);
  CHECK(slope([](const Tensor& x) { return clamp(x, -1, 1); }, 1.0) == 1.0);
  CHECK(slope([](const Tensor& x) { return clamp(x, -1, 1); }, -1.0) == 1.0);
  CHECK(slope([](const Tensor& x) { return clamp(x, -1, 1); }, 1.5) == 0.0);
  CHECK(slope([](const Tensor& x) { return maximum(x, scalar(2)); }, 2.0) == 0.5);
  CHECK(slope([](const Tensor& x) { return minimum(scalar(2), x); }, 2.0) == 0.5);
  CHECK(slope(retort::floor, 0.3) == 0.0);
}

TEST_CASE("special values: the square root's slope at zero is infinite, not NaN") {
  CHECK(slope(retort::sqrt, 0.0) == INFINITY);
  CHECK(slope([](const Tensor& x) { return sqrt(x + 1e-12); }, 0.0) == doctest::Approx(5e5));
}

TEST_CASE("special values: powers of zero have clean derivatives") {
  for (const double b : {0.0, 1.0, 2.0, 3.0}) {
    const auto [first, second] = derivatives([b](const Tensor& x) { return pow(x, b); }, 0.0);
    CHECK(first == (b == 1.0 ? 1.0 : 0.0));
    CHECK(second == (b == 2.0 ? 2.0 : 0.0));
  }
  for (const double b : {0.0, 1.0, 2.5}) {
    const auto [first, second] = derivatives([](const Tensor& y) { return pow(scalar(0), y); }, b);
    CHECK(first == 0.0);
    CHECK(second == 0.0);
  }
  // d2/da db a^b at b = 0 is 1 / a: guarding 0^0 must not cost it.
  const auto mixed = [](const Tensor& x) { return pow(x, x - 2.0); };
  CHECK(derivatives(mixed, 2.0).first == doctest::Approx(std::log(2.0)));
  CHECK(derivatives(mixed, 2.0).second == doctest::Approx(std::log(2.0) * std::log(2.0) + 1.0));
}

TEST_CASE("special values: a branch that where did not take leaves a zero gradient") {
  Tape tape;
  const Tensor nan = tape.watch(scalar(NAN)), one = tape.watch(scalar(1));
  const Tensor y = where(equal(scalar(1), scalar(1)), one, nan);
  const Tensors g = tape.gradients(y, Tensors{nan, one});
  CHECK(g[0].item() == 0.0);
  CHECK(g[1].item() == 1.0);
}

TEST_CASE("special values: activations saturate without overflow") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor x = Tensor::from(std::vector<double>{-1e4, -100, 100, 1e4}, {4}, dtype);
    for (const auto f : {softplus, silu, gelu, gelu_tanh, relu}) {
      Tape tape;
      const Tensor watched = tape.watch(x);
      const Tensor y = f(watched);
      const Tensor g = tape.gradients(sum(y), std::span(&watched, 1))[0];
      const auto value = y.values(), gradient = g.values();
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(value[i] == doctest::Approx(i < 2 ? 0.0 : x.values()[i]));
        CHECK(gradient[i] == doctest::Approx(i < 2 ? 0.0 : 1.0));
      }
    }
  }
}

TEST_CASE("special values: NaN stays visible") {
  const std::vector<double> v = {1, NAN, 3};
  const Tensor x = Tensor::from(v, {3}, DType::f32);
  CHECK(std::isnan(relu(x).values()[1]));
  CHECK(std::isnan(clamp(x, 0, 1).values()[1]));
  CHECK(std::isnan(max(x).item()));
  CHECK(std::isnan(min(x).item()));
  CHECK(std::isnan(logsumexp(x).item()));
  CHECK(argmax(x, 0).item() == 1);
  CHECK(argmin(x, 0).item() == 1);
}

TEST_CASE("special values: ties share the gradient of an extreme") {
  Tape tape;
  const Tensor x = tape.watch(Tensor::from(std::vector<double>{5, 2, 5, 1}, {2, 2}, DType::f64));
  const Tensor g = tape.gradients(max(x), std::span(&x, 1), Record::keep)[0];
  CHECK(g.values() == std::vector<double>{0.5, 0, 0.5, 0});
  const Tensor h = tape.gradients(sum(min(x, {1})), std::span(&x, 1))[0];
  CHECK(h.values() == std::vector<double>{0, 1, 0, 1});
}

TEST_CASE("special values: an equal coordinate pulls on neither point of an l1 distance") {
  Tape tape;
  const Tensor a = tape.watch(Tensor::from(std::vector<double>{1, 2, 3}, {1, 3}, DType::f64));
  const Tensor b = tape.watch(Tensor::from(std::vector<double>{1, 5, 0, 1, 2, 3}, {2, 3}, DType::f64));
  const Tensors g = tape.gradients(sum(pairwise_distance(a, b, Metric::l1)), Tensors{a, b});
  CHECK(g[0].values() == std::vector<double>{0, -1, 1});
  CHECK(g[1].values() == std::vector<double>{0, 1, -1, 0, 0, 0});
}

TEST_CASE("special values: logsumexp of infinities") {
  const Tensor x =
      Tensor::from(std::vector<double>{-INFINITY, -INFINITY, -INFINITY, 2, INFINITY, 1}, {3, 2}, DType::f64);
  CHECK(logsumexp(x, {1}).values() == std::vector<double>{-INFINITY, 2, INFINITY});
  Tape tape;
  const Tensor rows = tape.watch(slice(x, 0, 0, 2));
  const Tensor g = tape.gradients(sum(logsumexp(rows, {1})), std::span(&rows, 1))[0];
  CHECK(g.values() == std::vector<double>{0, 0, 0, 1});
}

TEST_CASE("special values: padding, joining and reversing keep images channels last") {
  const Tensor image = channels_last(Tensor::zeros({2, 3, 4, 5}));
  CHECK(pad(image, {0, 0, 1, 1}, {0, 0, 1, 1}).layout().channels_last());
  CHECK(concat(std::vector<Tensor>{image, image}, 1).layout().channels_last());
  CHECK(flip(image, {3}).layout().channels_last());
}
