// tests/tensor/math_test.cpp -- elementwise functions against the C library in double, and their special values.
#include "tensor/math.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();
constexpr float kTiny = std::numeric_limits<float>::denorm_min();

// Error of `got` in units in the last place of the exact result. Infinity stands for a wrong kind of result.
double ulp_error(float got, double exact) {
  const float rounded = static_cast<float>(exact);
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) == std::isnan(got) ? 0.0 : kInf;
  if (std::signbit(got) != std::signbit(rounded)) return kInf;
  if (std::isinf(rounded) || std::isinf(got)) {
    // Next to the overflow threshold the neighbour is an honest answer.
    return got == rounded ? 0.0 : std::abs(std::abs(exact) - kMax) < 0x1p104 ? 1.0 : kInf;
  }
  int exponent;
  std::frexp(exact, &exponent);
  return std::abs(got - exact) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

// Largest error over a regular sample of all bit patterns (so of all exponents, signs, NaNs) inside [low, high].
template <class F, class G>
void check_error(F f, G exact, double limit, float low = -kInf, float high = kInf) {
  double worst = 0.0;
  float where = 0.0f;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 10007) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (x < low || x > high) continue;
    const double error = ulp_error(f(x), exact(static_cast<double>(x)));
    if (!(error <= worst)) worst = error, where = x;
  }
  INFO("worst error ", worst, " ulp at ", where);
  CHECK(worst <= limit);
}

void check_same(float got, float want) {
  INFO("got ", got, ", want ", want);
  CHECK((std::isnan(want) ? std::isnan(got) : std::bit_cast<std::uint32_t>(got) == std::bit_cast<std::uint32_t>(want)));
}

float bounded_sine(float x) {
  float sine, cosine;
  retort::sincos_bounded(x, sine, cosine);
  return sine;
}
float bounded_cosine(float x) {
  float sine, cosine;
  retort::sincos_bounded(x, sine, cosine);
  return cosine;
}

constexpr double kPi = 3.14159265358979323846;

}  // namespace

TEST_CASE("math: exp and expm1") {
  check_error([](float x) { return retort::exp_fast(x); }, [](double x) { return std::exp(x); }, 1.0);
  check_error([](float x) { return retort::expm1_fast(x); }, [](double x) { return std::expm1(x); }, 1.5);
  check_same(retort::exp_fast(0.0f), 1.0f);
  check_same(retort::exp_fast(-kInf), 0.0f);
  check_same(retort::exp_fast(kInf), kInf);
  check_same(retort::exp_fast(kNan), kNan);
  check_same(retort::exp_fast(88.72284f), kInf);
  check_same(retort::exp_fast(-103.97f), kTiny);
  check_same(retort::exp_fast(-103.98f), 0.0f);
  check_same(retort::expm1_fast(-kInf), -1.0f);
  check_same(retort::expm1_fast(kInf), kInf);
  check_same(retort::expm1_fast(kNan), kNan);
  check_same(retort::expm1_fast(-0.0f), -0.0f);
  check_same(retort::expm1_fast(-kTiny), -kTiny);
}

TEST_CASE("math: log and log1p") {
  check_error([](float x) { return retort::log_fast(x); }, [](double x) { return std::log(x); }, 1.0);
  check_error([](float x) { return retort::log1p_fast(x); }, [](double x) { return std::log1p(x); }, 1.6);
  check_same(retort::log_fast(1.0f), 0.0f);
  check_same(retort::log_fast(0.0f), -kInf);
  check_same(retort::log_fast(-0.0f), -kInf);
  check_same(retort::log_fast(-kTiny), kNan);
  check_same(retort::log_fast(-kInf), kNan);
  check_same(retort::log_fast(kInf), kInf);
  check_same(retort::log_fast(kNan), kNan);
  check_same(retort::log_fast(kTiny), static_cast<float>(-149.0 * std::log(2.0)));
  check_same(retort::log1p_fast(-1.0f), -kInf);
  check_same(retort::log1p_fast(-1.5f), kNan);
  check_same(retort::log1p_fast(kInf), kInf);
  check_same(retort::log1p_fast(-kInf), kNan);
  check_same(retort::log1p_fast(kNan), kNan);
  check_same(retort::log1p_fast(-0.0f), -0.0f);
  check_same(retort::log1p_fast(kTiny), kTiny);
}

TEST_CASE("math: sin and cos at every magnitude") {
  const auto sine = [](double x) { return std::sin(x); };
  const auto cosine = [](double x) { return std::cos(x); };
  check_error([](float x) { return retort::sin_fast(x); }, sine, 1.75);
  check_error([](float x) { return retort::cos_fast(x); }, cosine, 1.75);
  check_error(bounded_sine, sine, 1.75, -retort::kSincosBound, retort::kSincosBound);
  check_error(bounded_cosine, cosine, 1.75, -retort::kSincosBound, retort::kSincosBound);
  check_same(retort::sin_fast(-0.0f), -0.0f);
  check_same(retort::cos_fast(-0.0f), 1.0f);
  for (const float x : {kInf, -kInf, kNan}) {
    check_same(retort::sin_fast(x), kNan);
    check_same(retort::cos_fast(x), kNan);
  }
  // The float nearest to a multiple of pi/2 of all: only a reduction with all bits of 2/pi survives it.
  CHECK(ulp_error(retort::cos_fast(0x1.ddc91ep+76f), std::cos(0x1.ddc91ep+76)) <= 1.75);
  for (const float x : {355.0f, 52174.0f, 103993.0f, 104348.0f, 131071.99f}) {  // close to multiples of pi
    CHECK(ulp_error(retort::sin_fast(x), std::sin(static_cast<double>(x))) <= 1.75);
  }
}

TEST_CASE("math: sin and cos of turns") {
  double worst = 0.0;
  for (int i = 0; i < (1 << 24); i += 101) {
    const float u = static_cast<float>(i) * 0x1p-24f;
    float sine, cosine;
    retort::sincos_turns(u, sine, cosine);
    // Exact multiples of a quarter turn are zeros here, not in double arithmetic with a rounded pi.
    const int quarter = i % (1 << 22);
    if (quarter == 0) {
      CHECK(sine * cosine == 0.0f);
      continue;
    }
    worst = std::max(worst, ulp_error(sine, std::sin(2.0 * kPi * u)));
    worst = std::max(worst, ulp_error(cosine, std::cos(2.0 * kPi * u)));
  }
  // Double's own 2 pi u is wrong by 2^-53 near the zeros, which are 2^-24 wide: far below one ulp.
  CHECK(worst <= 1.75);
}

TEST_CASE("math: tanh, sigmoid, erf, rsqrt") {
  check_error([](float x) { return retort::tanh_fast(x); }, [](double x) { return std::tanh(x); }, 2.5);
  check_error([](float x) { return retort::sigmoid_fast(x); },
              [](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }, 2.5);
  check_error([](float x) { return retort::erf_fast(x); }, [](double x) { return std::erf(x); }, 1.25);
  check_error([](float x) { return retort::rsqrt_fast(x); }, [](double x) { return 1 / std::sqrt(x); }, 1.5);
  for (const float x : {0.0f, -0.0f, kTiny, -kTiny}) check_same(retort::tanh_fast(x), x);
  check_same(retort::tanh_fast(kInf), 1.0f);
  check_same(retort::tanh_fast(-kInf), -1.0f);
  check_same(retort::tanh_fast(kNan), kNan);
  check_same(retort::sigmoid_fast(0.0f), 0.5f);
  check_same(retort::sigmoid_fast(kInf), 1.0f);
  check_same(retort::sigmoid_fast(-kInf), 0.0f);
  check_same(retort::sigmoid_fast(kNan), kNan);
  check_same(retort::erf_fast(-0.0f), -0.0f);
  check_same(retort::erf_fast(kInf), 1.0f);
  check_same(retort::erf_fast(-kInf), -1.0f);
  check_same(retort::erf_fast(kNan), kNan);
  check_same(retort::rsqrt_fast(0.0f), kInf);
  check_same(retort::rsqrt_fast(-1.0f), kNan);
}

TEST_CASE("math: doubles call the C library") {
  for (const double x : {-2.5, -1e-9, 0.0, 0.7, 30.0}) {
    CHECK(retort::exp_fast(x) == std::exp(x));
    CHECK(retort::expm1_fast(x) == std::expm1(x));
    CHECK(retort::tanh_fast(x) == std::tanh(x));
    CHECK(retort::erf_fast(x) == std::erf(x));
    CHECK(retort::sin_fast(x) == std::sin(x));
    CHECK(retort::cos_fast(x) == std::cos(x));
    CHECK(retort::sigmoid_fast(x) == doctest::Approx(1.0 / (1.0 + std::exp(-x))).epsilon(1e-14));
  }
  CHECK(retort::log_fast(0.3) == std::log(0.3));
  CHECK(retort::log1p_fast(0.3) == std::log1p(0.3));
  CHECK(retort::rsqrt_fast(0.25) == 2.0);
  CHECK(retort::pow_fast(3.0, 0.5) == std::pow(3.0, 0.5));
  CHECK(retort::pow_fast(3.0f, 0.5f) == std::pow(3.0f, 0.5f));
}

TEST_CASE("math: the same bits from every compiler and processor") {
  const auto hash = [](auto f) {
    std::uint64_t h = 0xCBF29CE484222325u;
    for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 20011) {
      const float y = f(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
      h = (h ^ (std::isnan(y) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(y))) * 0x100000001B3u;
    }
    return h;
  };
  CHECK(hash([](float x) { return retort::exp_fast(x); }) == 0x62227e5ab3006261u);
  CHECK(hash([](float x) { return retort::expm1_fast(x); }) == 0x626e7c6d6356efbau);
  CHECK(hash([](float x) { return retort::log_fast(x); }) == 0x9a9108e498be6e1cu);
  CHECK(hash([](float x) { return retort::log1p_fast(x); }) == 0xf1921f8149214ddeu);
  CHECK(hash([](float x) { return retort::sin_fast(x); }) == 0x24142d47b325dc52u);
  CHECK(hash([](float x) { return retort::cos_fast(x); }) == 0x2e6de9c2ec1fd3c4u);
  CHECK(hash([](float x) { return retort::tanh_fast(x); }) == 0x088add77b32ec846u);
  CHECK(hash([](float x) { return retort::sigmoid_fast(x); }) == 0x129e739b5fd3ec61u);
  CHECK(hash([](float x) { return retort::erf_fast(x); }) == 0x2bf6f7866ba02902u);
  CHECK(hash([](float x) { return retort::rsqrt_fast(x); }) == 0x1f1512779fda4963u);
}
