// tests/tensor/philox_test.cpp -- Philox4x32-10 against the known answers published with Random123.
#include "tensor/philox.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>

using retort::PhiloxBlock;

namespace {

void check_block(const PhiloxBlock& got, const PhiloxBlock& want) {
  for (int j = 0; j < 4; ++j) CHECK(got.word[j] == want.word[j]);
}

}  // namespace

TEST_CASE("philox: known answers") {
  check_block(retort::philox4x32({{0, 0, 0, 0}}, 0, 0), {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  check_block(retort::philox4x32({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffff, 0xffffffff),
              {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check_block(retort::philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
              {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST_CASE("philox: every bit of counter and key flips about half of the output") {
  const PhiloxBlock base = retort::philox4x32({{1, 2, 3, 4}}, 5, 6);
  for (int bit = 0; bit < 192; ++bit) {
    std::uint32_t input[6] = {1, 2, 3, 4, 5, 6};
    input[bit / 32] ^= 1u << (bit % 32);
    const PhiloxBlock other = retort::philox4x32({{input[0], input[1], input[2], input[3]}}, input[4], input[5]);
    int flipped = 0;
    for (int j = 0; j < 4; ++j) flipped += std::popcount(base.word[j] ^ other.word[j]);
    // 128 fair coins: 64 with standard deviation 5.7.
    CHECK(std::abs(flipped - 64) < 28);
  }
}

TEST_CASE("philox: uniforms cover [0, 1) and normals stay finite at the extreme words") {
  CHECK(retort::uniform_from_word(0) == 0.0f);
  CHECK(retort::uniform_from_word(0xffffffffu) == 1.0f - 0x1p-24f);
  float first, second;
  retort::normals_from_words(0, 0, first, second);
  CHECK(first == doctest::Approx(std::sqrt(66.0 * std::log(2.0))));  // u = 2^-33, angle 0
  CHECK(second == 0.0f);
  retort::normals_from_words(0xffffffffu, 0x80000000u, first, second);  // u = 1: radius 0
  CHECK(first == 0.0f);
  CHECK(second == 0.0f);
  retort::normals_from_words(0x80000000u, 0x40000000u, first, second);  // u = 1/2, a quarter turn
  CHECK(first == 0.0f);
  CHECK(second == doctest::Approx(std::sqrt(2.0 * std::log(2.0))));
}
