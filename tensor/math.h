// tensor/math.h -- branch-free elementwise functions shared by host and device: the same bits on both, and loops that
// vectorise.
#pragma once
#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define RETORT_HD __host__ __device__
#else
// A call that is left in a loop keeps the loop scalar, and compilers stop inlining in files with many loops.
#define RETORT_HD [[gnu::always_inline]]
#endif

// Every float function below is written in IEEE operations only: additions, multiplications, divisions, square roots
// and explicit fused multiply-adds. A product that meets a sum is either inside such an fma or exact (a power of two),
// so a compiler that contracts on its own changes nothing. The result is the same bits under g++, clang and nvcc
// (without --use_fast_math), with and without -march=native, scalar or vectorised; without hardware fma it is slow.
// Denormals are kept; infinities, NaNs and signed zeros follow Annex F of the C standard. Errors are bounds over dense
// samples of all floats, in ulp of the exact result. Overloads for double call the C library. The code is C++17, as
// device code is.
//
// Polynomials are minimax fits (Remez exchange, coefficients rounded to float one by one and the rest refitted).

namespace retort {

namespace detail {

RETORT_HD inline std::uint32_t to_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#else
  return __builtin_bit_cast(std::uint32_t, x);
#endif
}

RETORT_HD inline float from_bits(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  return __builtin_bit_cast(float, bits);
#endif
}

RETORT_HD inline float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
RETORT_HD inline float abs(float x) { return from_bits(to_bits(x) & 0x7fffffffu); }
RETORT_HD inline float copysign(float magnitude, float sign) {
  return from_bits((to_bits(magnitude) & 0x7fffffffu) | (to_bits(sign) & 0x80000000u));
}

// 1.5 * 2^23: adding it rounds a float to an integer, which is then found in the low bits of the sum.
constexpr float kRounder = 12582912.0f;
constexpr std::uint32_t kRounderBits = 0x4b400000u;
constexpr float kLog2E = 0x1.715476p+0f;
constexpr float kLn2Hi = 0x1.62e430p-1f;
constexpr float kLn2Lo = -0x1.05c610p-29f;
constexpr float kInfinity = __builtin_inff();
constexpr float kNan = __builtin_nanf("");

// x = n ln 2 + r with integer n and |r| <= 0.347; n comes as a two's complement integer.
struct ExpReduction {
  std::uint32_t n;
  float r;
};
RETORT_HD inline ExpReduction reduce_ln2(float x) {
  const float shifted = fma(x, kLog2E, kRounder);
  const float n = shifted - kRounder;
  return {to_bits(shifted) - kRounderBits, fma(n, -kLn2Lo, fma(n, -kLn2Hi, x))};
}

// e^r for |r| <= 0.347.
RETORT_HD inline float exp_polynomial(float r) {
  float q = 0x1.6ad230p-10f;
  q = fma(q, r, 0x1.123f38p-7f);
  q = fma(q, r, 0x1.55584ep-5f);
  q = fma(q, r, 0x1.55548ap-3f);
  q = fma(q, r, 0x1.fffffcp-2f);
  return fma(fma(q, r, 1.0f), r, 1.0f);
}

// e^r - 1 for |r| <= 0.347, with a small relative error also near zero.
RETORT_HD inline float expm1_polynomial(float r) {
  float q = 0x1.3b8e5cp-13f;
  q = fma(q, r, 0x1.6d2e48p-10f);
  q = fma(q, r, 0x1.1155a6p-7f);
  q = fma(q, r, 0x1.555502p-5f);
  q = fma(q, r, 0x1.55552cp-3f);
  q = fma(q, r, 0.5f);
  return fma(q, r * r, r);
}

// e^x - 1 for x in [-18, 89].
RETORT_HD inline float expm1_bounded(float x) {
  const auto [n, r] = reduce_ln2(x);
  // Half of 2^n stays in range where 2^n itself (n = 128) does not.
  const float half_scale = from_bits((n + 126u) << 23);
  return 2.0f * fma(expm1_polynomial(r), half_scale, half_scale - 0.5f);
}

// log(1 + f) for f in [-1/3, 1/3].
RETORT_HD inline float log1p_polynomial(float f) {
  float p = 0x1.de4c46p-4f;
  p = fma(p, f, -0x1.080b20p-3f);
  p = fma(p, f, 0x1.bb808ep-4f);
  p = fma(p, f, -0x1.f3258cp-4f);
  p = fma(p, f, 0x1.24d786p-3f);
  p = fma(p, f, -0x1.559c2ap-3f);
  p = fma(p, f, 0x1.99985ep-3f);
  p = fma(p, f, -0x1.ffff00p-3f);
  p = fma(p, f, 0x1.555556p-2f);
  return fma(fma(p, f, -0.5f), f * f, f);
}

// The bits of a normal x > 0 split as x = 2^e m with m in [2/3, 4/3); returns e in the exponent field's place.
RETORT_HD inline std::uint32_t split_exponent(std::uint32_t bits) { return (bits - 0x3f2aaaabu) & 0xff800000u; }
RETORT_HD inline float exponent_value(std::uint32_t field) {
  return static_cast<float>(static_cast<std::int32_t>(field)) * 0x1p-23f;
}

// log(x) + offset ln 2 for normal finite x > 0 and a whole offset.
RETORT_HD inline float log_normal(float x, float offset) {
  const std::uint32_t bits = to_bits(x);
  const std::uint32_t field = split_exponent(bits);
  const float e = exponent_value(field) + offset;
  return fma(e, kLn2Hi, log1p_polynomial(from_bits(bits - field) - 1.0f));
}

RETORT_HD inline float sin_polynomial(float r) {
  const float z = r * r;
  float p = -0x1.990d74p-13f;
  p = fma(p, z, 0x1.1106aap-7f);
  p = fma(p, z, -0x1.555544p-3f);
  return fma(p, z * r, r);
}

RETORT_HD inline float cos_polynomial(float r) {
  const float z = r * r;
  float p = 0x1.99911cp-16f;
  p = fma(p, z, -0x1.6c0af4p-10f);
  p = fma(p, z, 0x1.555548p-5f);
  return fma(fma(p, z, -0.5f), z, 1.0f);
}

// sin and cos of quadrant * pi/2 + r, |r| <= pi/4 (a little more is fine).
RETORT_HD inline void sincos_quadrant(std::uint32_t quadrant, float r, float& sine, float& cosine) {
  const float s = sin_polynomial(r);
  const float c = cos_polynomial(r);
  const bool swap = (quadrant & 1u) != 0;
  sine = from_bits(to_bits(swap ? c : s) ^ ((quadrant & 2u) << 30));
  cosine = from_bits(to_bits(swap ? s : c) ^ (((quadrant + 1u) & 2u) << 30));
}

// x = k pi/2 + r for any finite |x| >= 2^17, by Payne and Hanek: the 24 bits of x times the 96 bits of 2/pi that matter
// for k mod 4 and r. Returns k mod 4.
RETORT_HD inline std::uint32_t reduce_large(float x, float& r) {
  // 2/pi after one word of zeros, 32 bits to a word.
  constexpr std::uint32_t two_over_pi[8] = {0,           0xa2f9836eu, 0x4e441529u, 0xfc2757d1u,
                                            0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu};
  const std::uint32_t bits = to_bits(x);
  const std::uint64_t mantissa = (bits & 0x7fffffu) | 0x800000u;
  // x = mantissa 2^(exponent - 150); the window opens at the bit of 2/pi that this scales to 2.
  const std::uint32_t start = ((bits >> 23) & 0xffu) - 150u + 30u;
  const std::uint32_t* word = two_over_pi + start / 32u;
  const std::uint32_t shift = start % 32u;
  const auto window = [=](int i) {
    return static_cast<std::uint32_t>((((std::uint64_t{word[i]} << 32) | word[i + 1]) << shift) >> 32);
  };
  const std::uint64_t turns = ((mantissa * window(0)) << 32) + mantissa * window(1) + ((mantissa * window(2)) >> 32);
  const std::uint64_t quadrant = (turns + (std::uint64_t{1} << 61)) >> 62;
  const double fraction = static_cast<double>(static_cast<std::int64_t>(turns - (quadrant << 62)));
  const float magnitude = static_cast<float>(fraction * (0x1.921fb54442d18p+0 * 0x1p-62));
  const bool negative = (bits >> 31) != 0;
  r = negative ? -magnitude : magnitude;
  return static_cast<std::uint32_t>(negative ? 0 - quadrant : quadrant);
}

}  // namespace detail

/// Largest |x| for `sincos_bounded`.
constexpr float kSincosBound = 131072.0f;

/// e^x. Error below 1 ulp; denormal results are rounded once, overflow gives infinity.
RETORT_HD inline float exp_fast(float x) {
  // Beyond these bounds the result is infinity or zero anyhow. The comparisons let NaN through.
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  const auto [n, r] = detail::reduce_ln2(x);
  // 2^n in two factors: n reaches from -150 to 128, which one float cannot hold.
  const std::uint32_t half = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) >> 1);
  const float first = detail::from_bits((half + 127u) << 23);
  const float second = detail::from_bits((n - half + 127u) << 23);
  return detail::exp_polynomial(r) * first * second;
}

/// e^x - 1 without cancellation near zero. Error below 1.5 ulp.
RETORT_HD inline float expm1_fast(float x) {
  float bounded = x > 89.0f ? 89.0f : x;
  bounded = bounded < -18.0f ? -18.0f : bounded;
  const float y = detail::expm1_bounded(bounded);
  return detail::abs(x) < 0x1p-26f ? x : y;  // exact, also for denormals and -0
}

/// Natural logarithm. Error below 1 ulp. log(+-0) = -infinity, log(x < 0) = NaN.
RETORT_HD inline float log_fast(float x) {
  const bool denormal = x < 0x1p-126f;
  const float scaled = denormal ? x * 0x1p23f : x;
  float y = detail::log_normal(scaled, denormal ? -23.0f : 0.0f);
  y = x < detail::kInfinity ? y : x;  // infinity and NaN
  y = x < 0.0f ? detail::kNan : y;
  return x == 0.0f ? -detail::kInfinity : y;
}

/// log(1 + x) without cancellation near zero. Error below 1.6 ulp. log1p(-1) = -infinity, log1p(x < -1) = NaN.
RETORT_HD inline float log1p_fast(float x) {
  const std::uint32_t field = detail::split_exponent(detail::to_bits(1.0f + x));
  // 2^-e by way of 2^(2-e): e reaches 128, and 2^-128 is not a normal number.
  const float scale = 0.25f * detail::from_bits(0x40800000u - field);
  // (1 + x) 2^-e - 1 from x itself, so that nothing of a small x is lost.
  const float f = detail::fma(x, scale, scale - 1.0f);
  float y = detail::fma(detail::exponent_value(field), detail::kLn2Hi, detail::log1p_polynomial(f));
  y = detail::abs(x) < 0x1p-26f ? x : y;
  y = x < detail::kInfinity ? y : x;
  y = x < -1.0f ? detail::kNan : y;
  return x == -1.0f ? -detail::kInfinity : y;
}

/// sin x and cos x for |x| <= 131072, branch-free. Error below 1.75 ulp. Larger x give wrong values: kernels test a
/// block against `kSincosBound` and take `sin_fast` or `cos_fast` where it does not hold (same bits inside the bound).
RETORT_HD inline void sincos_bounded(float x, float& sine, float& cosine) {
  const float shifted = detail::fma(x, 0x1.45f306p-1f, detail::kRounder);
  const float k = shifted - detail::kRounder;
  // Cody and Waite: pi/2 in three parts. The first step is exact, both sides being multiples of 2^-23.
  float r = detail::fma(k, -0x1.921fb6p+0f, x);
  r = detail::fma(k, 0x1.777a5cp-25f, r);
  r = detail::fma(k, 0x1.ee59dap-50f, r);
  detail::sincos_quadrant(detail::to_bits(shifted), r, sine, cosine);
  sine = x == 0.0f ? x : sine;  // -0
}

/// sin(2 pi u) and cos(2 pi u) for |u| <= 2^20 (turns), branch-free; multiples of a quarter turn are exact. Error below
/// 1.75 ulp.
RETORT_HD inline void sincos_turns(float u, float& sine, float& cosine) {
  const float shifted = detail::fma(u, 4.0f, detail::kRounder);
  const float turns = detail::fma(shifted - detail::kRounder, -0.25f, u);
  const float r = detail::fma(turns, 0x1.921fb6p+2f, turns * -0x1.777a5cp-23f);
  detail::sincos_quadrant(detail::to_bits(shifted), r, sine, cosine);
}

/// sin x and cos x for any x. Error below 1.75 ulp; NaN for infinities. The branch keeps loops from vectorising.
RETORT_HD inline void sincos_fast(float x, float& sine, float& cosine) {
  if (!(detail::abs(x) > kSincosBound)) return sincos_bounded(x, sine, cosine);
  if (!(detail::abs(x) < detail::kInfinity)) {
    sine = cosine = detail::kNan;
    return;
  }
  float r;
  const std::uint32_t quadrant = detail::reduce_large(x, r);
  detail::sincos_quadrant(quadrant, r, sine, cosine);
}
RETORT_HD inline float sin_fast(float x) {
  float sine, cosine;
  sincos_fast(x, sine, cosine);
  return sine;
}
RETORT_HD inline float cos_fast(float x) {
  float sine, cosine;
  sincos_fast(x, sine, cosine);
  return cosine;
}

/// Hyperbolic tangent. Error below 2.5 ulp.
RETORT_HD inline float tanh_fast(float x) {
  const float twice = 2.0f * detail::abs(x);
  const float t = detail::expm1_bounded(twice > 20.0f ? 20.0f : twice);
  return detail::copysign(t / (t + 2.0f), x);
}

/// 1 / (1 + e^-x). Error below 2.5 ulp, also where the result is tiny.
RETORT_HD inline float sigmoid_fast(float x) {
  const float e = exp_fast(-detail::abs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/// Error function. Error below 1.25 ulp.
RETORT_HD inline float erf_fast(float x) {
  float a = detail::abs(x);
  // Near zero x + x P(x^2).
  const float z = x * x;
  float p = 0x1.4771fep-14f;
  p = detail::fma(p, z, -0x1.a3515ep-11f);
  p = detail::fma(p, z, 0x1.53f224p-8f);
  p = detail::fma(p, z, -0x1.b7f71ap-6f);
  p = detail::fma(p, z, 0x1.ce2ce6p-4f);
  p = detail::fma(p, z, -0x1.81273ep-2f);
  p = detail::fma(p, z, 0x1.06eba8p-3f);
  const float small = detail::fma(p, x, x);
  // From 1 on 1 - e^-q with q(a) = -log(erfc(a)); at 3.95 the result has become 1.
  const bool is_small = a < 1.0f;
  a = a > 3.95f ? 3.95f : a;
  float q = -0x1.86e22cp-13f;
  q = detail::fma(q, a, 0x1.825ca8p-9f);
  q = detail::fma(q, a, -0x1.65cbe6p-6f);
  q = detail::fma(q, a, 0x1.a65358p-4f);
  q = detail::fma(q, a, 0x1.46baecp-1f);
  q = detail::fma(q, a, 0x1.2088eap+0f);
  q = detail::fma(q, a, 0x1.662158p-12f);
  const auto [n, r] = detail::reduce_ln2(-q);
  const float scale = detail::from_bits((n + 127u) << 23);
  const float large = detail::fma(-scale, detail::exp_polynomial(r), 1.0f);
  return is_small ? small : detail::copysign(large, x);
}

/// 1 / sqrt(x). Error below 1.5 ulp. Infinity at +0.
RETORT_HD inline float rsqrt_fast(float x) { return 1.0f / ::sqrtf(x); }

/// x^y by the C library or the device's: the one function here whose last bits may differ between the two.
RETORT_HD inline float pow_fast(float x, float y) { return ::powf(x, y); }

RETORT_HD inline double exp_fast(double x) { return ::exp(x); }
RETORT_HD inline double expm1_fast(double x) { return ::expm1(x); }
RETORT_HD inline double log_fast(double x) { return ::log(x); }
RETORT_HD inline double log1p_fast(double x) { return ::log1p(x); }
RETORT_HD inline double sin_fast(double x) { return ::sin(x); }
RETORT_HD inline double cos_fast(double x) { return ::cos(x); }
RETORT_HD inline void sincos_fast(double x, double& sine, double& cosine) {
  sine = ::sin(x);
  cosine = ::cos(x);
}
RETORT_HD inline double tanh_fast(double x) { return ::tanh(x); }
RETORT_HD inline double erf_fast(double x) { return ::erf(x); }
RETORT_HD inline double rsqrt_fast(double x) { return 1.0 / ::sqrt(x); }
RETORT_HD inline double pow_fast(double x, double y) { return ::pow(x, y); }
RETORT_HD inline double sigmoid_fast(double x) {
  const double e = ::exp(x < 0.0 ? x : -x);
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

}  // namespace retort
