// cuda_kernels/emulate/float16.h -- the two 16-bit floats of kernels on the host, with the roundings of the device.
#pragma once
#include <bit>
#include <cstdint>

namespace retort::kernels::emu {

/// The upper half of a float.
struct bf16 {
  std::uint16_t bits;
};
inline float to_float(bf16 v) { return std::bit_cast<float>(std::uint32_t{v.bits} << 16); }
/// To nearest even; NaN becomes the one that the device writes.
inline bf16 to_bf16(float v) {
  if (v != v) return {0x7fff};
  const std::uint32_t u = std::bit_cast<std::uint32_t>(v);
  return {static_cast<std::uint16_t>((u + 0x7fffu + (u >> 16 & 1u)) >> 16)};
}

/// IEEE binary16.
struct f16 {
  std::uint16_t bits;
};
inline float to_float(f16 v) {
  const std::uint32_t sign = std::uint32_t{v.bits & 0x8000u} << 16, magnitude = v.bits & 0x7fffu;
  // The exponent is moved by a product, which is right for subnormal numbers too; infinity and NaN keep theirs.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(scaled) | (magnitude >= 0x7c00u ? 0x7f800000u : 0u);
  return std::bit_cast<float>(bits | sign);
}
/// To nearest even.
inline f16 to_f16(float v) {
  if (v != v) return {0x7fff};
  const std::uint32_t u = std::bit_cast<std::uint32_t>(v), sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
  std::uint32_t bits;
  if (magnitude >= 0x477ff000u)  // rounds to beyond 65504
    bits = 0x7c00u;
  else if (magnitude < 0x38800000u)  // subnormal: the sum rounds at its last place
    bits = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  else
    bits = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  return {static_cast<std::uint16_t>(sign | bits)};
}

}  // namespace retort::kernels::emu
