// tensor/dtype.h -- element types, and the two 16-bit floats as storage types that compute in f32.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace retort {

enum class DType : std::uint8_t { f64, f32, f16, bf16, i64, i32, u8, boolean };
inline constexpr int kDTypes = 8;

constexpr std::int64_t size_of(DType t) {
  constexpr std::int64_t sizes[kDTypes] = {8, 4, 2, 2, 8, 4, 1, 1};
  return sizes[static_cast<int>(t)];
}
constexpr std::string_view name_of(DType t) {
  constexpr std::string_view names[kDTypes] = {"f64", "f32", "f16", "bf16", "i64", "i32", "u8", "bool"};
  return names[static_cast<int>(t)];
}
constexpr bool is_float(DType t) { return t <= DType::bf16; }
/// The type a value of `t` is accumulated in: f64 for f64, f32 for the other floats, i64 for integers.
constexpr DType accumulator_of(DType t) { return t == DType::f64 ? DType::f64 : is_float(t) ? DType::f32 : DType::i64; }
/// "f32" -> DType::f32; throws ConfigError naming the known ones. Defined in dtype.cpp.
DType dtype_from_name(std::string_view name);

/// IEEE binary16 in memory; every operation goes through float.
struct Half {
  std::uint16_t bits = 0;
  Half() = default;
  Half(float v) : bits(encode(v)) {}  // NOLINT: implicit, so that generic kernels read like float code
  operator float() const { return decode(bits); }
  static Half from_bits(std::uint16_t b) {
    Half h;
    h.bits = b;
    return h;
  }

 private:
  static std::uint16_t encode(float v) {
#if defined(__F16C__)
    return static_cast<std::uint16_t>(_cvtss_sh(v, _MM_FROUND_TO_NEAREST_INT));
#else
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = (u >> 16) & 0x8000u, mag = u & 0x7fffffffu;
    if (mag >= 0x7f800000u)  // infinity and NaN: the payload's top bits survive, quieted, as the hardware does
      return static_cast<std::uint16_t>(sign | 0x7c00u | (mag > 0x7f800000u ? 0x200u | ((mag >> 13) & 0x3ffu) : 0u));
    if (mag >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (mag < 0x38800000u) {  // subnormal half: let the float adder round
      const float shifted = std::bit_cast<float>(mag) + 0.5f;
      return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
    }
    const std::uint32_t odd = (mag >> 13) & 1u;
    return static_cast<std::uint16_t>(sign | ((mag - 0x38000000u + 0xfffu + odd) >> 13));
#endif
  }
  static float decode(std::uint16_t h) {
#if defined(__F16C__)
    return _cvtsh_ss(h);
#else
    const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16, mag = h & 0x7fffu;
    if (mag >= 0x7c00u)
      return std::bit_cast<float>(sign | 0x7f800000u | ((mag & 0x3ffu) << 13) | ((mag & 0x3ffu) ? 0x400000u : 0u));
    if (mag < 0x400u)
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(mag) * 0x1p-24f));
    return std::bit_cast<float>(sign | ((mag << 13) + 0x38000000u));
#endif
  }
};

/// bfloat16 in memory: the upper half of a float, rounded to nearest even.
struct BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  BFloat16(float v) {  // NOLINT: implicit, see Half
    const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    bits = static_cast<std::uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
  }
  operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
  static BFloat16 from_bits(std::uint16_t b) {
    BFloat16 h;
    h.bits = b;
    return h;
  }
};

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<Half> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::boolean;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

/// The C++ type in which a kernel computes on elements of T (f32 for the 16-bit floats, T otherwise).
template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<Half> {
  using type = float;
};
template <>
struct ComputeType<BFloat16> {
  using type = float;
};
template <class T>
using compute_t = typename ComputeType<T>::type;

/// Calls `f(T{})` with the C++ type of a float dtype. Returns false when `t` is not a float dtype.
template <class F>
bool visit_float(DType t, F&& f) {
  switch (t) {
    case DType::f64:
      f(double{});
      return true;
    case DType::f32:
      f(float{});
      return true;
    case DType::f16:
      f(Half{});
      return true;
    case DType::bf16:
      f(BFloat16{});
      return true;
    default:
      return false;
  }
}
/// Calls `f(T{})` with the C++ type of any dtype.
template <class F>
void visit_any(DType t, F&& f) {
  if (visit_float(t, f)) return;
  switch (t) {
    case DType::i64:
      f(std::int64_t{});
      return;
    case DType::i32:
      f(std::int32_t{});
      return;
    case DType::u8:
      f(std::uint8_t{});
      return;
    default:
      f(bool{});
      return;
  }
}

}  // namespace retort
