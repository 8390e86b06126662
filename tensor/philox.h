// tensor/philox.h -- the Philox4x32-10 generator and the draws made from its words, for host and device.
#pragma once
#include <cstdint>

#include "tensor/math.h"

namespace retort {

/// 128 bits: the counter that goes into Philox, or the four random words that come out.
struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Philox4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011): a
/// bijection of the counter for each 64-bit key, given as two words, low word first. Passes BigCrush.
RETORT_HD inline PhiloxBlock philox4x32(const PhiloxBlock& counter, std::uint32_t key0, std::uint32_t key1) {
  std::uint32_t c0 = counter.word[0], c1 = counter.word[1], c2 = counter.word[2], c3 = counter.word[3];
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<std::uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<std::uint32_t>(product1);
    c2 = static_cast<std::uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<std::uint32_t>(product0);
    key0 += 0x9E3779B9u;  // the golden ratio
    key1 += 0xBB67AE85u;  // sqrt(3) - 1
  }
  return {{c0, c1, c2, c3}};
}

/// Uniform in [0, 1) on the grid of 2^-24: the 24 high bits of a word.
RETORT_HD inline float uniform_from_word(std::uint32_t word) {
  return static_cast<float>(static_cast<std::int32_t>(word >> 8)) * 0x1p-24f;
}

/// Two independent standard normals from two words (Box and Muller 1958). The radius uses all 32 bits of its word, so
/// tails reach 6.76 standard deviations.
RETORT_HD inline void normals_from_words(std::uint32_t radius_word, std::uint32_t angle_word, float& first,
                                         float& second) {
  const float u = detail::fma(static_cast<float>(radius_word), 0x1p-32f, 0x1p-33f);  // in [2^-33, 1]
  const float radius = ::sqrtf(-2.0f * detail::log_normal(u, 0.0f));
  float sine, cosine;
  sincos_turns(uniform_from_word(angle_word), sine, cosine);
  first = radius * cosine;
  second = radius * sine;
}

}  // namespace retort
