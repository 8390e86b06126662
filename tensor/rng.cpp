// tensor/rng.cpp -- stream keys, whole numbers and permutations; the fills are in tensor/cpu/rng_fill.cpp.
#include "tensor/rng.h"

#include <algorithm>
#include <bit>

#include "tensor/error.h"
#include "tensor/philox.h"

namespace retort {
namespace {

// SplitMix64's output function (Steele, Lea, Flood 2014), a bijection of 64-bit words.
std::uint64_t mix(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

std::uint64_t high_product(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(a) * b) >> 64);
}

}  // namespace

RngKey Rng::stream(std::string_view name, std::uint32_t step, std::uint32_t attempt) const {
  return {mix(mix(seed_) ^ fnv1a(name)), step, attempt};
}

std::uint64_t uniform_int(const RngKey& key, std::uint64_t sample, std::uint64_t element, std::uint64_t bound) {
  if (bound == 0) throw ValueError("uniform_int: there is no whole number in [0, 0); got bound 0");
  if (sample >= kMaxRngSamples || element >= kMaxRngSamples) {
    throw ValueError("uniform_int: sample and element must be below 2^32; got sample {}, element {}", sample, element);
  }
  const PhiloxBlock block =
      philox4x32({{static_cast<std::uint32_t>(element), static_cast<std::uint32_t>(sample), key.step, key.attempt}},
                 static_cast<std::uint32_t>(key.key), static_cast<std::uint32_t>(key.key >> 32));
  return high_product((std::uint64_t{block.word[1]} << 32) | block.word[0], bound);
}

std::uint64_t permuted_index(const RngKey& key, std::uint64_t n, std::uint64_t i) {
  if (n > (std::uint64_t{1} << 62) || i >= n) {
    throw ValueError("permuted_index: needs i < n <= 2^62; got i {}, n {}", i, n);
  }
  if (n == 1) return 0;
  // Two halves with 4^half_bits >= n. Halves below 4 bits would make some orders of a handful of elements more likely.
  const int half_bits = std::max(4, (static_cast<int>(std::bit_width(n - 1)) + 1) / 2);
  const std::uint64_t half_mask = (std::uint64_t{1} << half_bits) - 1;
  const std::uint64_t tweak = mix(key.key ^ mix((std::uint64_t{key.step} << 32) | key.attempt));
  do {
    std::uint64_t left = i >> half_bits, right = i & half_mask;
    for (std::uint64_t round = 0; round < 8; ++round) {
      const std::uint64_t mixed = left ^ (mix(right ^ mix(tweak + round)) & half_mask);
      left = right;
      right = mixed;
    }
    i = (left << half_bits) | right;
  } while (i >= n);
  return i;
}

}  // namespace retort
