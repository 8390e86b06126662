// tests/tensor/rng_test.cpp -- keyed random fields: stored bits, slices, statistics, independence, permutations.
#include "tensor/rng.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <initializer_list>
#include <numeric>
#include <vector>

#include "tensor/error.h"
#include "tensor/philox.h"

using retort::Rng;
using retort::RngKey;

namespace {

std::vector<float> uniforms(std::size_t n, const RngKey& key, std::uint64_t sample = 0, std::uint64_t first = 0) {
  std::vector<float> out(n);
  retort::fill_uniform(std::span(out), key, sample, first);
  return out;
}

std::vector<float> normals(std::size_t n, const RngKey& key, std::uint64_t sample = 0, std::uint64_t first = 0) {
  std::vector<float> out(n);
  retort::fill_normal(std::span(out), key, sample, first);
  return out;
}

std::uint64_t hash_bits(const std::vector<float>& values) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const float value : values) hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * 0x100000001B3u;
  return hash;
}

void check_bits(const std::vector<float>& values, const std::vector<std::uint32_t>& want) {
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(std::bit_cast<std::uint32_t>(values[i]) == want[i]);
}

// The Kolmogorov-Smirnov statistic sqrt(n) D; above 2.2 with probability 1.2e-4 if the draws follow the law.
template <class Cdf>
double kolmogorov_smirnov(std::vector<float> values, Cdf cdf) {
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double p = cdf(static_cast<double>(values[i]));
    worst = std::max({worst, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return worst * std::sqrt(n);
}

// Correlation in units of its standard deviation 1 / sqrt(n) for independent fields.
double correlation_sigmas(const std::vector<float>& a, const std::vector<float>& b) {
  const std::size_t n = std::min(a.size(), b.size());
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return std::abs(ab / std::sqrt(aa * bb)) * std::sqrt(static_cast<double>(n));
}

// Chi-square of counts against equal expectation, in standard deviations from its mean.
double chi_square_sigmas(const std::vector<double>& counts) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  const double expected = total / static_cast<double>(counts.size());
  double chi = 0.0;
  for (const double count : counts) chi += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>(counts.size() - 1);
  return (chi - freedom) / std::sqrt(2.0 * freedom);
}

}  // namespace

TEST_CASE("rng: stored bits of the first draws and of 100,000 normals") {
  const RngKey key = Rng(42).stream("golden", 7, 1);
  CHECK(key.key == 0x15fa0a983940f8e7);
  check_bits(uniforms(8, key, 3),
             {0x3ed4abf2, 0x3eaf220a, 0x3f316ab8, 0x3f0c53ab, 0x3dc14358, 0x3e3b73a4, 0x3efc884a, 0x3f081d65});
  check_bits(normals(8, key, 3),
             {0xbf3984ba, 0x3f8e12d0, 0xbf514551, 0xbe82a376, 0x3f631f12, 0x3ffde143, 0xbf952cea, 0xbe70e189});
  CHECK(hash_bits(uniforms(100000, key, 3)) == 0x88e5dfc906cf89ef);
  CHECK(hash_bits(normals(100000, key, 3)) == 0xe5c554210c52639d);
  CHECK(retort::uniform_int(key, 3, 5, 1000000) == 688494);
  CHECK(retort::permuted_index(key, 1000, 123) == 479);
}

TEST_CASE("rng: elements are words of Philox under the documented counter") {
  const RngKey key = Rng(1).stream("layout", 11, 13);
  std::vector<std::uint32_t> bits(50);
  retort::fill_bits(bits, key, 17, 101);
  const std::vector<float> uniform = uniforms(50, key, 17, 101);
  const std::vector<float> normal = normals(50, key, 17, 101);
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const auto element = static_cast<std::uint32_t>(101 + i);
    const retort::PhiloxBlock block = retort::philox4x32(
        {{element / 4, 17, 11, 13}}, static_cast<std::uint32_t>(key.key), static_cast<std::uint32_t>(key.key >> 32));
    CHECK(bits[i] == block.word[element % 4]);
    CHECK(uniform[i] == retort::uniform_from_word(bits[i]));
    float pair[2];
    const std::uint32_t even = element % 4 / 2 * 2;
    retort::normals_from_words(block.word[even], block.word[even + 1], pair[0], pair[1]);
    CHECK(std::bit_cast<std::uint32_t>(normal[i]) == std::bit_cast<std::uint32_t>(pair[element % 2]));
  }
}

TEST_CASE("rng: any range equals the slice of the whole") {
  const RngKey key = Rng(2).stream("slices");
  const std::vector<float> whole = normals(1000, key, 5);
  for (std::size_t first : {0, 1, 2, 3, 4, 127, 128, 129, 500}) {
    for (std::size_t n : {0, 1, 2, 3, 5, 127, 128, 131, 400}) {
      const std::vector<float> part = normals(n, key, 5, first);
      CHECK(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(first)));
    }
  }
}

TEST_CASE("rng: a double field is the float field widened") {
  const RngKey key = Rng(3).stream("wide");
  std::vector<double> normal(301), uniform(301);
  retort::fill_normal(std::span(normal), key, 1, 2);
  retort::fill_uniform(std::span(uniform), key, 1, 2);
  const std::vector<float> normal32 = normals(301, key, 1, 2), uniform32 = uniforms(301, key, 1, 2);
  CHECK(std::equal(normal.begin(), normal.end(), normal32.begin()));
  CHECK(std::equal(uniform.begin(), uniform.end(), uniform32.begin()));
}

TEST_CASE("rng: a mask is one where the uniform draw is below the probability") {
  const RngKey key = Rng(4).stream("mask");
  const std::vector<float> uniform = uniforms(1000, key, 9, 3);
  std::vector<std::uint8_t> mask(1000);
  for (const double p :
       {0.0, 1e-9, 0.1, 0.5, static_cast<double>(uniform[17]), uniform[17] + 0x1p-30, 0.999999999, 1.0}) {
    retort::fill_bernoulli(mask, p, key, 9, 3);
    for (std::size_t i = 0; i < mask.size(); ++i) CHECK(mask[i] == (static_cast<double>(uniform[i]) < p ? 1 : 0));
  }
}

TEST_CASE("rng: arguments out of range throw") {
  const RngKey key = Rng(5).stream("limits");
  std::vector<float> out(4);
  std::vector<std::uint8_t> mask(4);
  CHECK_NOTHROW(retort::fill_uniform(std::span(out), key, retort::kMaxRngSamples - 1, retort::kMaxRngElements - 4));
  CHECK_THROWS_AS(retort::fill_uniform(std::span(out), key, retort::kMaxRngSamples), retort::ValueError);
  CHECK_THROWS_AS(retort::fill_normal(std::span(out), key, 0, retort::kMaxRngElements - 3), retort::ValueError);
  CHECK_THROWS_AS(retort::fill_normal(std::span(out), key, 0, ~std::uint64_t{0}), retort::ValueError);
  CHECK_THROWS_AS(retort::fill_bernoulli(mask, 1.5, key, 0), retort::ValueError);
  CHECK_THROWS_AS(retort::fill_bernoulli(mask, std::nan(""), key, 0), retort::ValueError);
  CHECK_THROWS_AS(retort::uniform_int(key, 0, 0, 0), retort::ValueError);
  CHECK_THROWS_AS(retort::uniform_int(key, 0, std::uint64_t{1} << 32, 5), retort::ValueError);
  CHECK_THROWS_AS(retort::permuted_index(key, 5, 5), retort::ValueError);
  CHECK_THROWS_AS(retort::permuted_index(key, 0, 0), retort::ValueError);
}

TEST_CASE("rng: moments of a million draws") {
  const RngKey key = Rng(6).stream("moments");
  const std::size_t n = 1000000;
  const auto central = [](const std::vector<float>& values, double mean, int power) {
    double sum = 0.0;
    for (const float value : values) sum += std::pow(value - mean, power);
    return sum / static_cast<double>(n);
  };
  const double root = std::sqrt(static_cast<double>(n));
  // Standard deviations of the estimators: sqrt(Var(X^k) / n).
  const std::vector<float> normal = normals(n, key);
  CHECK(std::abs(central(normal, 0.0, 1)) * root < 4.5);
  CHECK(std::abs(central(normal, 0.0, 2) - 1.0) * root < 4.5 * std::sqrt(2.0));
  CHECK(std::abs(central(normal, 0.0, 3)) * root < 4.5 * std::sqrt(15.0));
  CHECK(std::abs(central(normal, 0.0, 4) - 3.0) * root < 4.5 * std::sqrt(96.0));
  const std::vector<float> uniform = uniforms(n, key);
  CHECK(std::abs(central(uniform, 0.5, 1)) * root < 4.5 * std::sqrt(1.0 / 12));
  CHECK(std::abs(central(uniform, 0.5, 2) - 1.0 / 12) * root < 4.5 * std::sqrt(1.0 / 180));
  CHECK(std::abs(central(uniform, 0.5, 3)) * root < 4.5 * std::sqrt(1.0 / 448));
  CHECK(std::abs(central(uniform, 0.5, 4) - 1.0 / 80) * root < 4.5 * std::sqrt(1.0 / 3600));
}

TEST_CASE("rng: Kolmogorov-Smirnov") {
  const RngKey key = Rng(7).stream("ks");
  CHECK(kolmogorov_smirnov(uniforms(200000, key), [](double x) { return x; }) < 2.2);
  const auto normal_cdf = [](double x) { return 0.5 * std::erfc(-x * std::sqrt(0.5)); };
  CHECK(kolmogorov_smirnov(normals(200000, key), normal_cdf) < 2.2);
  // One element of many samples, steps and attempts is as good a sequence as one long field.
  std::vector<float> across(30000);
  for (std::size_t i = 0; i < across.size(); ++i) {
    const auto index = static_cast<std::uint32_t>(i / 3);
    const RngKey at{key.key, i % 3 == 0 ? index : 0, i % 3 == 1 ? index + 1 : 0};
    retort::fill_normal(std::span(across).subspan(i, 1), at, i % 3 == 2 ? index + 1 : 0);
  }
  CHECK(kolmogorov_smirnov(across, normal_cdf) < 2.2);
}

TEST_CASE("rng: the tails of the normal") {
  const std::size_t n = 4000000;
  const std::vector<float> values = normals(n, Rng(8).stream("tails"));
  for (const double limit : {3.0, 4.0}) {
    const double expected = static_cast<double>(n) * std::erfc(limit * std::sqrt(0.5));
    const auto count = std::count_if(values.begin(), values.end(), [=](float x) { return std::abs(x) > limit; });
    CHECK(std::abs(static_cast<double>(count) - expected) < 4.5 * std::sqrt(expected));
  }
}

TEST_CASE("rng: fields of different keys are uncorrelated") {
  const std::size_t n = 100000;
  const RngKey key = Rng(9).stream("base", 1, 1);
  const std::vector<float> base = normals(n, key, 1);
  CHECK(correlation_sigmas(base, base) > 100.0);
  CHECK(correlation_sigmas(base, normals(n, Rng(10).stream("base", 1, 1), 1)) < 4.5);
  CHECK(correlation_sigmas(base, normals(n, Rng(9).stream("bass", 1, 1), 1)) < 4.5);
  CHECK(correlation_sigmas(base, normals(n, Rng(9).stream("base", 2, 1), 1)) < 4.5);
  CHECK(correlation_sigmas(base, normals(n, Rng(9).stream("base", 1, 2), 1)) < 4.5);
  CHECK(correlation_sigmas(base, normals(n, key, 2)) < 4.5);
  for (std::uint64_t lag : {1, 2, 3, 4, 5, 8, 128}) CHECK(correlation_sigmas(base, normals(n, key, 1, lag)) < 4.5);
  // Partners of one Box-Muller pair share a radius, and must not show it.
  std::vector<float> square(n), partner(n);
  for (std::size_t i = 0; i < n; ++i) {
    square[i] = base[i] * base[i] - 1.0f;
    partner[i] = base[i ^ 1] * base[i ^ 1] - 1.0f;
  }
  CHECK(correlation_sigmas(square, partner) / std::sqrt(2.0) < 4.5);  // every pair counts twice
}

TEST_CASE("rng: stream keys differ by seed and name") {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    for (const char* name : {"", "a", "b", "ab", "ba", "dropout/blocks.1", "dropout/blocks.10", "init"}) {
      keys.push_back(Rng(seed).stream(name).key);
    }
  }
  std::sort(keys.begin(), keys.end());
  CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
}

TEST_CASE("rng: whole numbers are equally frequent and reach large bounds") {
  const RngKey key = Rng(11).stream("whole");
  std::vector<double> counts(10);
  for (std::uint64_t i = 0; i < 100000; ++i) ++counts.at(retort::uniform_int(key, 1, i, 10));
  CHECK(std::abs(chi_square_sigmas(counts)) < 4.5);
  const std::uint64_t bound = std::uint64_t{3} << 62;
  std::vector<double> thirds(3);
  for (std::uint64_t i = 0; i < 30000; ++i) ++thirds.at(retort::uniform_int(key, 1, i, bound) >> 62);
  CHECK(std::abs(chi_square_sigmas(thirds)) < 4.5);
  CHECK(retort::uniform_int(key, 0, 0, 1) == 0);
}

TEST_CASE("rng: the permutation is one, for every size") {
  const auto check_size = [](std::uint64_t n, const RngKey& key) {
    std::vector<bool> seen(n);
    std::uint64_t distinct = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
      const std::uint64_t j = retort::permuted_index(key, n, i);
      REQUIRE(j < n);
      distinct += !seen[j];
      seen[j] = true;
    }
    CHECK(distinct == n);
  };
  const RngKey key = Rng(12).stream("order");
  for (std::uint64_t n = 1; n <= 300; ++n) check_size(n, key);
  for (std::uint64_t n : {1023, 1024, 1025, 4096, 4097, 50000, 65537}) check_size(n, RngKey{key.key, 3, 0});
  const std::uint64_t huge = std::uint64_t{1} << 62;
  CHECK(retort::permuted_index(key, huge, huge - 1) < huge);
}

TEST_CASE("rng: permutations of different epochs look unrelated, and all of them occur") {
  const Rng rng(13);
  // All 24 orders of 4 elements are equally likely over keys.
  std::vector<double> orders(256);
  for (std::uint32_t epoch = 0; epoch < 24000; ++epoch) {
    std::size_t code = 0;
    for (std::uint64_t i = 0; i < 4; ++i) code = 4 * code + retort::permuted_index(rng.stream("order", epoch), 4, i);
    ++orders[code];
  }
  std::erase(orders, 0.0);
  CHECK(orders.size() == 24);
  CHECK(std::abs(chi_square_sigmas(orders)) < 4.5);
  // Each position of a larger set goes everywhere.
  for (std::uint64_t i : {0, 1, 50, 99}) {
    std::vector<double> counts(100);
    for (std::uint32_t epoch = 0; epoch < 20000; ++epoch) {
      ++counts[retort::permuted_index(rng.stream("order", epoch), 100, i)];
    }
    CHECK(std::abs(chi_square_sigmas(counts)) < 4.5);
  }
  // Neighbours and epochs are uncorrelated.
  const std::uint64_t n = 100000;
  std::vector<float> here(n), next(n), later(n);
  for (std::uint64_t i = 0; i < n; ++i) {
    const auto centred = [](std::uint64_t j) { return static_cast<float>(j) / static_cast<float>(n) - 0.5f; };
    here[i] = centred(retort::permuted_index(rng.stream("order", 0), n, i));
    next[i] = centred(retort::permuted_index(rng.stream("order", 0), n, (i + 1) % n));
    later[i] = centred(retort::permuted_index(rng.stream("order", 1), n, i));
  }
  CHECK(correlation_sigmas(here, next) < 4.5);
  CHECK(correlation_sigmas(here, later) < 4.5);
}
