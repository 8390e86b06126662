// io/gguf_blocks.cpp -- where the bits of each quantised element lie.
#include "io/gguf_blocks.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace retort {
namespace {

using Byte = std::uint8_t;

float half_at(const Byte* p) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, p, sizeof bits);
  return Half::from_bits(bits);
}

const Byte* bytes_at(const std::byte* block) { return reinterpret_cast<const Byte*>(block); }

// ---- Blocks of 32. Element j and element j + 16 share a byte of nibbles, the low one first. ----

void decode_q4_0(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>((p[2 + j] & 15) - 8);
    y[j + 16] = d * static_cast<float>((p[2 + j] >> 4) - 8);
  }
}

void decode_q4_1(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p), m = half_at(p + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(p[4 + j] & 15) + m;
    y[j + 16] = d * static_cast<float>(p[4 + j] >> 4) + m;
  }
}

/// The fifth bits of 32 elements, element j's at bit j.
std::uint32_t fifth_bits(const Byte* p) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, p, sizeof bits);
  return bits;
}

int five_bits(int nibble, std::uint32_t high, int j) { return nibble | static_cast<int>(high >> j & 1u) << 4; }

void decode_q5_0(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p);
  const std::uint32_t high = fifth_bits(p + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(five_bits(p[6 + j] & 15, high, j) - 16);
    y[j + 16] = d * static_cast<float>(five_bits(p[6 + j] >> 4, high, j + 16) - 16);
  }
}

void decode_q5_1(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p), m = half_at(p + 2);
  const std::uint32_t high = fifth_bits(p + 4);
  for (int j = 0; j < 16; ++j) {
    y[j] = d * static_cast<float>(five_bits(p[8 + j] & 15, high, j)) + m;
    y[j + 16] = d * static_cast<float>(five_bits(p[8 + j] >> 4, high, j + 16)) + m;
  }
}

void decode_q8_0(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p);
  for (int j = 0; j < 32; ++j) y[j] = d * static_cast<float>(static_cast<std::int8_t>(p[2 + j]));
}

// ---- Blocks of 256, in two halves of 128 (or four quarters of 64) whose elements share bytes. ----

/// u8 scales[16] (scale in the low nibble, minimum in the high one), u8 q[64], f16 d, f16 m.
void decode_q2_k(const std::byte* block, float* y) {
  const Byte* scales = bytes_at(block);
  const float d = half_at(scales + 80), m = half_at(scales + 82);
  for (int group = 0; group < 16; ++group) {
    // Groups 0 to 7 are the first half; of its 32 bytes, two groups at a time take two bits each.
    const Byte* q = scales + 16 + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    const float scale = d * static_cast<float>(scales[group] & 15),
                minimum = m * static_cast<float>(scales[group] >> 4);
    for (int l = 0; l < 16; ++l) *y++ = scale * static_cast<float>(q[l] >> shift & 3) - minimum;
  }
}

/// Six bits: the low four in the nibbles of eight bytes, the high two in the four bytes after them.
int scale_of_q3_k(const Byte* scales, int group) {
  const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
  return (low | (scales[8 + group % 4] >> (group / 4 * 2) & 3) << 4) - 32;
}

/// u8 high[32] (third bits: bit k of byte l for element 32 k + l), u8 q[64], u8 scales[12], f16 d.
void decode_q3_k(const std::byte* block, float* y) {
  const Byte* high = bytes_at(block);
  const float d = half_at(high + 108);
  for (int group = 0; group < 16; ++group) {
    const Byte* q = high + 32 + group / 8 * 32 + group % 2 * 16;
    const int shift = group % 8 / 2 * 2;
    const float scale = d * static_cast<float>(scale_of_q3_k(high + 96, group));
    for (int l = 0; l < 16; ++l) {
      const int third = high[group % 2 * 16 + l] >> (group / 2) & 1;
      *y++ = scale * static_cast<float>((q[l] >> shift & 3) - (third != 0 ? 0 : 4));
    }
  }
}

struct ScaleAndMinimum {
  float scale, minimum;
};

/// Eight scales and eight minima of six bits in twelve bytes: 0 to 3 in the low bits of bytes 0 to 3 and 4 to 7; of 4
/// to 7, four bits in bytes 8 to 11 and two on top of those.
ScaleAndMinimum scale_of_q45_k(const Byte* p, int group, float d, float m) {
  int scale = p[group] & 63, minimum = p[group + 4] & 63;
  if (group >= 4) {
    scale = (p[group + 4] & 15) | p[group - 4] >> 6 << 4;
    minimum = p[group + 4] >> 4 | p[group] >> 6 << 4;
  }
  return {d * static_cast<float>(scale), m * static_cast<float>(minimum)};
}

/// f16 d, f16 m, u8 scales[12], u8 q[128]: groups 2k and 2k+1 of 32 elements share 32 bytes of nibbles.
void decode_q4_k(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p), m = half_at(p + 2);
  for (int group = 0; group < 8; ++group) {
    const Byte* q = p + 16 + group / 2 * 32;
    const auto [scale, minimum] = scale_of_q45_k(p + 4, group, d, m);
    for (int l = 0; l < 32; ++l) *y++ = scale * static_cast<float>(q[l] >> group % 2 * 4 & 15) - minimum;
  }
}

/// As Q4_K with u8 high[32] before q: the fifth bit of group k is bit k.
void decode_q5_k(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p), m = half_at(p + 2);
  for (int group = 0; group < 8; ++group) {
    const Byte* q = p + 48 + group / 2 * 32;
    const auto [scale, minimum] = scale_of_q45_k(p + 4, group, d, m);
    for (int l = 0; l < 32; ++l) {
      const int bits = (q[l] >> group % 2 * 4 & 15) | (p[16 + l] >> group & 1) << 4;
      *y++ = scale * static_cast<float>(bits) - minimum;
    }
  }
}

/// u8 low[128], u8 high[64], i8 scales[16], f16 d. In each half, element 32 k + l has its low bits in the nibble k / 2
/// of byte 32 (k % 2) + l and its two high bits at 2 k of byte l.
void decode_q6_k(const std::byte* block, float* y) {
  const Byte* p = bytes_at(block);
  const float d = half_at(p + 208);
  for (int group = 0; group < 16; ++group) {
    const int half = group / 8, k = group % 8 / 2, first = group % 2 * 16;
    const Byte* low = p + half * 64 + k % 2 * 32 + first;
    const Byte* high = p + 128 + half * 32 + first;
    const float scale = d * static_cast<float>(static_cast<std::int8_t>(p[192 + group]));
    for (int l = 0; l < 16; ++l)
      *y++ = scale * static_cast<float>(((low[l] >> k / 2 * 4 & 15) | (high[l] >> 2 * k & 3) << 4) - 32);
  }
}

constexpr GgufType unknown(std::uint32_t id, std::string_view name) {
  return {id, name, 1, 1, DType::u8, nullptr, false};
}

constexpr std::array kGgufTypes = {
    GgufType{0, "F32", 1, 4, DType::f32, nullptr},
    GgufType{1, "F16", 1, 2, DType::f16, nullptr},
    GgufType{2, "Q4_0", 32, 18, DType::f32, decode_q4_0},
    GgufType{3, "Q4_1", 32, 20, DType::f32, decode_q4_1},
    GgufType{6, "Q5_0", 32, 22, DType::f32, decode_q5_0},
    GgufType{7, "Q5_1", 32, 24, DType::f32, decode_q5_1},
    GgufType{8, "Q8_0", 32, 34, DType::f32, decode_q8_0},
    unknown(9, "Q8_1"),
    GgufType{10, "Q2_K", 256, 84, DType::f32, decode_q2_k},
    GgufType{11, "Q3_K", 256, 110, DType::f32, decode_q3_k},
    GgufType{12, "Q4_K", 256, 144, DType::f32, decode_q4_k},
    GgufType{13, "Q5_K", 256, 176, DType::f32, decode_q5_k},
    GgufType{14, "Q6_K", 256, 210, DType::f32, decode_q6_k},
    unknown(15, "Q8_K"),
    unknown(16, "IQ2_XXS"),
    unknown(17, "IQ2_XS"),
    unknown(18, "IQ3_XXS"),
    unknown(19, "IQ1_S"),
    unknown(20, "IQ4_NL"),
    unknown(21, "IQ3_S"),
    unknown(22, "IQ2_S"),
    unknown(23, "IQ4_XS"),
    unknown(24, "I8"),
    unknown(25, "I16"),
    GgufType{26, "I32", 1, 4, DType::i32, nullptr},
    GgufType{27, "I64", 1, 8, DType::i64, nullptr},
    GgufType{28, "F64", 1, 8, DType::f64, nullptr},
    unknown(29, "IQ1_M"),
    GgufType{30, "BF16", 1, 2, DType::bf16, nullptr},
    unknown(34, "TQ1_0"),
    unknown(35, "TQ2_0"),
    unknown(39, "MXFP4"),
};

}  // namespace

const GgufType* gguf_type(std::uint32_t id) {
  const auto found = std::find_if(kGgufTypes.begin(), kGgufTypes.end(), [&](const GgufType& t) { return t.id == id; });
  return found == kGgufTypes.end() ? nullptr : &*found;
}

}  // namespace retort
