// tensor/rng.h -- keyed random numbers: a draw is a pure function of (seed, stream, step, sample, element, attempt).
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace retort {

/// Names one field of random numbers. There is no call counter: the same key gives the same numbers wherever and
/// however often it is asked, so micro-batches, ranks, threads and devices change nothing and a recomputation needs no
/// saved state. `step` is the optimiser step; `attempt` tells apart the retries of rejected draws.
struct RngKey {
  std::uint64_t key = 0;
  std::uint32_t step = 0;
  std::uint32_t attempt = 0;
};

/// A seed from which streams are named: `Rng(7).stream("dropout/blocks.3", step)`.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : seed_(seed) {}
  /// The key of a named stream: mix(mix(seed) ^ fnv1a(name)), where fnv1a is the 64-bit FNV-1a hash of the name's bytes
  /// and mix the output function of SplitMix64. The formula is part of the format of run folders.
  RngKey stream(std::string_view name, std::uint32_t step = 0, std::uint32_t attempt = 0) const;
  std::uint64_t seed() const { return seed_; }

 private:
  std::uint64_t seed_;
};

/// The fields below are those of Philox4x32-10 under `key.key` with the counter {element / 4, sample, step, attempt};
/// element e reads word e % 4. `sample` is the global index of a sample. Each fill writes elements
/// [first_element, first_element + out.size()): any range equals that slice of the whole. ValueError when an element
/// reaches 2^34 or a sample 2^32, where the counter's words would overflow and numbers repeat.
inline constexpr std::uint64_t kMaxRngElements = std::uint64_t{1} << 34;
inline constexpr std::uint64_t kMaxRngSamples = std::uint64_t{1} << 32;

/// Raw words.
void fill_bits(std::span<std::uint32_t> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element = 0);

/// Uniform in [0, 1), multiples of 2^-24.
void fill_uniform(std::span<float> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element = 0);

/// Standard normal (Box-Muller; elements 4b, 4b+1 and 4b+2, 4b+3 are pairs), |x| <= 6.77.
void fill_normal(std::span<float> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element = 0);

/// The float draws widened: a job in f64 sees the numbers of the same job in f32.
void fill_uniform(std::span<double> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element = 0);
void fill_normal(std::span<double> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element = 0);

/// 1 where the element's uniform draw is below `probability`, else 0. ValueError unless 0 <= probability <= 1.
void fill_bernoulli(std::span<std::uint8_t> out, double probability, const RngKey& key, std::uint64_t sample,
                    std::uint64_t first_element = 0);

/// A whole number in [0, bound) from 64 bits by multiplication (Lemire 2019 without rejection): the probability of each
/// is within bound * 2^-64, relatively, of 1 / bound. Takes a counter of its own, {element, sample, ...}, so element is
/// below 2^32 here. ValueError for bound 0.
std::uint64_t uniform_int(const RngKey& key, std::uint64_t sample, std::uint64_t element, std::uint64_t bound);

/// Where position i goes under the key's pseudo-random permutation of [0, n), 1 <= n <= 2^62, evaluated pointwise: an
/// 8-round Feistel network on the next power of 4 (at least 256), walked along its cycle until it falls below n (Black
/// and Rogaway 2002): fewer than 4 walks on average from n = 64 on. ValueError unless i < n.
std::uint64_t permuted_index(const RngKey& key, std::uint64_t n, std::uint64_t i);

}  // namespace retort
