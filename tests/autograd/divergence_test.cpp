// tests/autograd/divergence_test.cpp -- divergences and cross entropies against closed forms; beside each value stands
// the mistake that the value must tell apart.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"

using namespace retort;

namespace {
const double kInf = std::numeric_limits<double>::infinity();
Tensor f64(std::vector<double> v, const Shape& shape) { return Tensor::from(v, shape, DType::f64); }

/// Two classes with P(class 1) = p.
Tensor two_class(double p) { return f64({0, std::log(p / (1 - p))}, {1, 2}); }

using Loss = std::function<Tensor(const Tensor&, const Tensor&)>;
struct Gradients {
  std::vector<double> student, teacher;
};
Gradients gradients(const Loss& loss, const Tensor& student, const Tensor& teacher) {
  Tape tape;
  const Tensor leaves[] = {tape.watch(student), tape.watch(teacher)};
  const Tensors g = tape.gradients(sum(loss(leaves[0], leaves[1])), leaves);
  return {g[0].values(), g[1].values()};
}
std::vector<Loss> all_divergences() {
  return {[](auto& s, auto& t) { return kl_forward(s, t); },
          [](auto& s, auto& t) { return kl_reverse(s, t); },
          [](auto& s, auto& t) { return js(s, t, 0.3); },
          [](auto& s, auto& t) { return jeffreys(s, t); },
          [](auto& s, auto& t) { return tv(s, t); },
          [](auto& s, auto& t) { return skew_forward(s, t, 0.1); },
          [](auto& s, auto& t) { return skew_reverse(s, t, 0.1); }};
}
double largest(const std::vector<double>& v) {
  double m = 0;
  for (double x : v) m = std::max(m, std::abs(x));
  return m;
}
}  // namespace

TEST_CASE("divergence: two classes, student 1/2, teacher 1/4") {
  const Tensor student = two_class(0.5), teacher = two_class(0.25);
  // KL(teacher || student) = log 2 - H(1/4); KL(student || teacher) = log(2 / sqrt 3).
  const double entropy = -0.25 * std::log(0.25) - 0.75 * std::log(0.75);
  const double forward = std::log(2.0) - entropy, reverse = std::log(2 / std::sqrt(3.0));
  CHECK(kl_forward(student, teacher).item() == doctest::Approx(forward).epsilon(1e-13));
  CHECK(kl_reverse(student, teacher).item() == doctest::Approx(reverse).epsilon(1e-13));
  CHECK(jeffreys(student, teacher).item() == doctest::Approx(forward + reverse).epsilon(1e-13));
  CHECK(tv(student, teacher).item() == doctest::Approx(0.25).epsilon(1e-13));
  // The mistake: the two KLs exchanged. They differ by more than any tolerance here.
  CHECK(std::abs(kl_reverse(student, teacher).item() - forward) > 0.01);
  // d KL(t || s) / dz = s - t; d KL(s || t) / dz_1 = s (1 - s) (z_s - z_t).
  const auto f = gradients([](auto& s, auto& t) { return kl_forward(s, t); }, student, teacher);
  const auto r = gradients([](auto& s, auto& t) { return kl_reverse(s, t); }, student, teacher);
  CHECK(f.student[1] == doctest::Approx(0.25).epsilon(1e-13));
  CHECK(r.student[1] == doctest::Approx(0.25 * std::log(3.0)).epsilon(1e-13));
  // The teacher's gradient of one is the student's of the other: t (1 - t) (z_t - z_s), and t - s.
  CHECK(f.teacher[1] == doctest::Approx(-0.1875 * std::log(3.0)).epsilon(1e-13));
  CHECK(r.teacher[1] == doctest::Approx(-0.25).epsilon(1e-13));
}

TEST_CASE("divergence: js weighs the teacher by beta, in the mixture and in the sum") {
  const Tensor student = two_class(0.5), teacher = two_class(0.25);
  const auto kl = [](double p, double q) { return p * std::log(p / q) + (1 - p) * std::log((1 - p) / (1 - q)); };
  const auto closed = [&](double t, double s, double beta) {
    const double m = beta * t + (1 - beta) * s;
    return beta * kl(t, m) + (1 - beta) * kl(s, m);
  };
  CHECK(js(student, teacher, 0.2).item() == doctest::Approx(closed(0.25, 0.5, 0.2)).epsilon(1e-13));
  // The mistakes: roles exchanged, and the other end of beta.
  CHECK(std::abs(js(teacher, student, 0.2).item() - closed(0.25, 0.5, 0.2)) > 1e-4);
  CHECK(std::abs(js(student, teacher, 0.8).item() - closed(0.25, 0.5, 0.2)) > 1e-4);
  CHECK(js(student, teacher, 0.5).item() == doctest::Approx(js(teacher, student, 0.5).item()).epsilon(1e-13));
  CHECK(js(student, teacher, 0.2).item() == doctest::Approx(js(teacher, student, 0.8).item()).epsilon(1e-13));
  // Its ends, scaled: js / beta -> KL(t || s), js / (1 - beta) -> KL(s || t).
  const double eps = 1e-7;
  CHECK(js(student, teacher, eps).item() / eps == doctest::Approx(kl(0.25, 0.5)).epsilon(1e-5));
  CHECK(js(student, teacher, 1 - eps).item() / eps == doctest::Approx(kl(0.5, 0.25)).epsilon(1e-5));
  CHECK(skew_forward(student, teacher, 0.1).item() == doctest::Approx(kl(0.25, 0.475)).epsilon(1e-13));
  CHECK(skew_reverse(student, teacher, 0.1).item() == doctest::Approx(kl(0.5, 0.275)).epsilon(1e-13));
}

TEST_CASE("divergence: equal distributions give exactly zero, value and gradients, in f64 and f32") {
  const Tensor z = f64({0.3, -1.7, 2.1, 40, -35, 0.01, -kInf, 7}, {2, 4});
  for (const DType dtype : {DType::f64, DType::f32})
    for (const Loss& loss : all_divergences()) {
      const Tensor x = cast(z, dtype);
      CHECK(largest(loss(x, x).values()) == 0);
      const Gradients g = gradients(loss, x, x);
      CHECK(largest(g.student) == 0);
      CHECK(largest(g.teacher) == 0);
    }
}

TEST_CASE("divergence: T^2 KL tends to half the squared distance of centred logits") {
  // As T grows the gradient of T^2 KL(t || s) tends to (centred z_s - centred z_t) / C.
  const std::vector<double> s{1, -2, 0.5, 3}, t{0, 1, -1, 2};
  const double temperature = 1e4, mean_s = 0.625, mean_t = 0.5;
  const Temperatures both{temperature, temperature};
  const auto g = gradients([&](auto& a, auto& b) { return kl_forward(a, b, both); }, f64(s, {1, 4}), f64(t, {1, 4}));
  for (std::size_t i = 0; i < 4; ++i) {
    const double limit = ((s[i] - mean_s) - (t[i] - mean_t)) / 4;
    CHECK(temperature * temperature * g.student[i] == doctest::Approx(limit).epsilon(1e-3));
    // The mistakes: no factor T^2, and a factor T.
    CHECK(std::abs(g.student[i] - limit) > 0.5 * std::abs(limit));
    CHECK(std::abs(temperature * g.student[i] - limit) > 0.5 * std::abs(limit));
  }
}

TEST_CASE("divergence: temperatures belong to their own logits") {
  const Tensor s = f64({0, 2}, {1, 2}), t = f64({0, 6}, {1, 2});
  CHECK(std::abs(kl_forward(s, t, {1, 3}).item()) < 1e-15);
  CHECK(kl_forward(s, t, {3, 1}).item() > 0.1);
}

TEST_CASE("divergence: padded vocabulary changes nothing") {
  const Tensor s = f64({0.5, -1, 2}, {1, 3}), t = f64({1, 0, -1}, {1, 3});
  const Tensor s_padded = f64({0.5, -1, 2, -kInf, -kInf}, {1, 5}), t_padded = f64({1, 0, -1, -kInf, -kInf}, {1, 5});
  // The mistake: padding with logits 0 instead.
  const Tensor s_zero = f64({0.5, -1, 2, 0, 0}, {1, 5}), t_zero = f64({1, 0, -1, 0, 0}, {1, 5});
  for (const Loss& loss : all_divergences()) {
    const double value = loss(s, t).item();
    CHECK(loss(s_padded, t_padded).item() == doctest::Approx(value).epsilon(1e-14));
    CHECK(std::abs(loss(s_zero, t_zero).item() - value) > 1e-4);
    const Gradients g = gradients(loss, s, t), p = gradients(loss, s_padded, t_padded);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(p.student[i] == doctest::Approx(g.student[i]).epsilon(1e-13));
      CHECK(p.teacher[i] == doctest::Approx(g.teacher[i]).epsilon(1e-13));
    }
    CHECK(p.student[3] == 0);
    CHECK(p.teacher[4] == 0);
  }
}

TEST_CASE("divergence: disjoint supports") {
  const Tensor s = f64({0, -kInf}, {1, 2}), t = f64({-kInf, 0}, {1, 2});
  CHECK(kl_forward(s, t).item() == kInf);
  CHECK(kl_reverse(s, t).item() == kInf);
  CHECK(js(s, t, 0.5).item() == doctest::Approx(std::log(2.0)));
  CHECK(tv(s, t).item() == 1);
  CHECK(skew_forward(s, t, 0.1).item() == doctest::Approx(-std::log(0.1)));
  CHECK(skew_reverse(s, t, 0.1).item() == doctest::Approx(-std::log(0.1)));
}

TEST_CASE("divergence: a bf16 teacher beside an f32 student; the loss is f32") {
  const Tensor s = cast(f64({0.5, -1, 2}, {1, 3}), DType::f32), t = cast(f64({1, 0, -1.5}, {1, 3}), DType::bf16);
  const Tensor loss = kl_forward(s, t);
  CHECK(loss.dtype() == DType::f32);
  CHECK(loss.item() == doctest::Approx(kl_forward(cast(s, DType::f64), cast(t, DType::f64)).item()).epsilon(1e-6));
  CHECK(cross_entropy(t, Tensor::of<std::int64_t>(std::vector<std::int64_t>{1}, {1})).dtype() == DType::f32);
}

TEST_CASE("cross_entropy: closed forms") {
  const Tensor z = f64({0, std::log(3.0), 0, 0}, {2, 2});  // P = (1/4, 3/4) and (1/2, 1/2)
  const Tensor labels = Tensor::of<std::int64_t>(std::vector<std::int64_t>{1, 0}, {2});
  const auto plain = cross_entropy(z, labels).values();
  CHECK(plain[0] == doctest::Approx(std::log(4.0 / 3)));
  CHECK(plain[1] == doctest::Approx(std::log(2.0)));
  // Smoothing 0.2: target (0.1, 0.9).
  const double smooth = 0.1 * std::log(4.0) + 0.9 * std::log(4.0 / 3);
  CHECK(cross_entropy(z, labels, 0.2).values()[0] == doctest::Approx(smooth));
  // The mistake: the smoothed mass spread over the other classes only, target (0.2, 0.8).
  CHECK(std::abs(0.2 * std::log(4.0) + 0.8 * std::log(4.0 / 3) - smooth) > 0.01);
  CHECK(soft_cross_entropy(z, f64({0.1, 0.9, 0, 1}, {2, 2})).values()[0] == doctest::Approx(smooth));
  // KL(t || s) = cross entropy - entropy of t.
  const Tensor t = f64({1, -1, 0.5, 2}, {2, 2}), q = softmax(t);
  const Tensor difference = soft_cross_entropy(z, q) - soft_cross_entropy(t, q) - kl_forward(z, t);
  CHECK(largest(difference.values()) < 1e-14);
}

TEST_CASE("cross_entropy: ignored units have no gradient") {
  const auto loss = [](const Tensor& z, const Tensor& y) { return cross_entropy(z, y, 0.1, 7); };
  Tape tape;
  const Tensor z = tape.watch(f64({1, 2, -kInf, -kInf, 3, 1}, {3, 2}));
  const Tensor y = Tensor::of<std::int64_t>(std::vector<std::int64_t>{0, 7, 1}, {3});
  const Tensor value = loss(z, y);
  CHECK(value.values()[1] == 0);
  const auto g = tape.gradients(sum(value), std::span(&z, 1))[0].values();
  CHECK(g[2] == 0);
  CHECK(g[3] == 0);
  CHECK(g[0] + g[1] == doctest::Approx(0).epsilon(1e-14));
  CHECK(g[0] < -0.1);
}
