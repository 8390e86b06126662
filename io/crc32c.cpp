// io/crc32c.cpp -- CRC-32C by the SSE 4.2 instruction, and by eight tables ("slicing by 8") elsewhere.
#include "io/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__SSE4_2__)
#include <nmmintrin.h>
#endif

namespace retort {
namespace {

static_assert(std::endian::native == std::endian::little, "the eight-byte steps read little-endian words");

constexpr std::uint32_t kPolynomial = 0x82F63B78u;
using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

/// tables[k][b]: the checksum state after byte b and k zero bytes.
constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? kPolynomial : 0u);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t crc = tables[k - 1][byte];
      tables[k][byte] = (crc >> 8) ^ tables[0][crc & 0xffu];
    }
  return tables;
}
constexpr Tables kTables = make_tables();

std::uint64_t load_word(const std::byte* p) {
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

}  // namespace

std::uint32_t crc32c_portable(std::span<const std::byte> bytes, std::uint32_t seed) {
  std::uint32_t crc = ~seed;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    const std::uint64_t word = load_word(p) ^ crc;
    const auto look_up = [word](unsigned k) { return kTables[7 - k][(word >> (8 * k)) & 0xffu]; };
    crc = look_up(0) ^ look_up(1) ^ look_up(2) ^ look_up(3) ^ look_up(4) ^ look_up(5) ^ look_up(6) ^ look_up(7);
  }
  for (; left > 0; --left, ++p) crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<std::uint32_t>(*p)) & 0xffu];
  return ~crc;
}

#if defined(__SSE4_2__)

namespace {

/// The instruction takes three cycles but starts every cycle, so three neighbouring blocks run side by side. Their
/// states are joined by "what this state becomes after kBlock zero bytes", a linear map kept as one table per byte.
constexpr std::size_t kBlock = 2048;
using ShiftTables = std::array<std::array<std::uint32_t, 256>, 4>;

ShiftTables make_shift_tables() {
  std::array<std::uint32_t, 32> image{};  // of each single bit
  for (unsigned bit = 0; bit < 32; ++bit) {
    std::uint32_t crc = 1u << bit;
    for (std::size_t i = 0; i < kBlock; ++i) crc = (crc >> 8) ^ kTables[0][crc & 0xffu];
    image[bit] = crc;
  }
  ShiftTables tables{};
  for (unsigned k = 0; k < 4; ++k)
    for (unsigned byte = 0; byte < 256; ++byte)
      for (unsigned bit = 0; bit < 8; ++bit)
        if ((byte >> bit & 1u) != 0) tables[k][byte] ^= image[8 * k + bit];
  return tables;
}

std::uint32_t after_block_of_zeros(const ShiftTables& shift, std::uint32_t crc) {
  return shift[0][crc & 0xffu] ^ shift[1][crc >> 8 & 0xffu] ^ shift[2][crc >> 16 & 0xffu] ^ shift[3][crc >> 24];
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
  static const ShiftTables shift = make_shift_tables();
  std::uint32_t crc = ~seed;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3 * kBlock; left -= 3 * kBlock, p += 3 * kBlock) {
    std::uint64_t first = crc, second = 0, third = 0;
    for (std::size_t i = 0; i < kBlock; i += 8) {
      first = _mm_crc32_u64(first, load_word(p + i));
      second = _mm_crc32_u64(second, load_word(p + kBlock + i));
      third = _mm_crc32_u64(third, load_word(p + 2 * kBlock + i));
    }
    crc = after_block_of_zeros(shift, static_cast<std::uint32_t>(first)) ^ static_cast<std::uint32_t>(second);
    crc = after_block_of_zeros(shift, crc) ^ static_cast<std::uint32_t>(third);
  }
  std::uint64_t rest = crc;
  for (; left >= 8; left -= 8, p += 8) rest = _mm_crc32_u64(rest, load_word(p));
  crc = static_cast<std::uint32_t>(rest);
  for (; left > 0; --left, ++p) crc = _mm_crc32_u8(crc, std::to_integer<std::uint8_t>(*p));
  return ~crc;
}

#else

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) { return crc32c_portable(bytes, seed); }

#endif

}  // namespace retort
