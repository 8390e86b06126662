// tensor/cpu/rng_fill.cpp -- random fields written to memory, many Philox counters side by side.
#include <algorithm>
#include <array>

#include "tensor/error.h"
#include "tensor/philox.h"
#include "tensor/rng.h"

namespace retort {
namespace {

constexpr std::size_t kLanes = 32;
constexpr std::size_t kChunk = 4 * kLanes;

// The words of kLanes consecutive counters, transposed so that loops over lanes vectorise.
struct Words {
  alignas(64) std::uint32_t word[4][kLanes];
};

Words philox_lanes(const RngKey& key, std::uint32_t sample, std::uint32_t first_block) {
  Words words;
  for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
    const PhiloxBlock block =
        philox4x32({{first_block + lane, sample, key.step, key.attempt}}, static_cast<std::uint32_t>(key.key),
                   static_cast<std::uint32_t>(key.key >> 32));
    for (int j = 0; j < 4; ++j) words.word[j][lane] = block.word[j];
  }
  return words;
}

// Calls convert(words, chunk) for every chunk of elements the range touches and copies out what lies in the range.
template <class T, class Convert>
void fill(const char* name, std::span<T> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element,
          Convert convert) {
  if (first_element > kMaxRngElements || out.size() > kMaxRngElements - first_element) {
    throw ValueError("{}: elements must be below 2^34; got {} elements from {}", name, out.size(), first_element);
  }
  if (sample >= kMaxRngSamples) throw ValueError("{}: the sample index must be below 2^32; got {}", name, sample);
  alignas(64) std::array<T, kChunk> chunk;
  for (std::size_t done = 0; done < out.size();) {
    const std::uint64_t element = first_element + done;
    const std::size_t skip = element % 4;
    const std::size_t count = std::min(kChunk - skip, out.size() - done);
    convert(philox_lanes(key, static_cast<std::uint32_t>(sample), static_cast<std::uint32_t>(element / 4)),
            chunk.data());
    std::copy_n(chunk.data() + skip, count, out.data() + done);
    done += count;
  }
}

template <class T>
void uniforms(const Words& words, T* out) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    for (int j = 0; j < 4; ++j) out[4 * lane + j] = uniform_from_word(words.word[j][lane]);
  }
}

template <class T>
void normals(const Words& words, T* out) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    float first, second, third, fourth;
    normals_from_words(words.word[0][lane], words.word[1][lane], first, second);
    normals_from_words(words.word[2][lane], words.word[3][lane], third, fourth);
    out[4 * lane] = first;
    out[4 * lane + 1] = second;
    out[4 * lane + 2] = third;
    out[4 * lane + 3] = fourth;
  }
}

}  // namespace

void fill_bits(std::span<std::uint32_t> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element) {
  fill("fill_bits", out, key, sample, first_element, [](const Words& words, std::uint32_t* chunk) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      for (int j = 0; j < 4; ++j) chunk[4 * lane + j] = words.word[j][lane];
    }
  });
}

void fill_uniform(std::span<float> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element) {
  fill("fill_uniform", out, key, sample, first_element, uniforms<float>);
}
void fill_uniform(std::span<double> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element) {
  fill("fill_uniform", out, key, sample, first_element, uniforms<double>);
}

void fill_normal(std::span<float> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element) {
  fill("fill_normal", out, key, sample, first_element, normals<float>);
}
void fill_normal(std::span<double> out, const RngKey& key, std::uint64_t sample, std::uint64_t first_element) {
  fill("fill_normal", out, key, sample, first_element, normals<double>);
}

void fill_bernoulli(std::span<std::uint8_t> out, double probability, const RngKey& key, std::uint64_t sample,
                    std::uint64_t first_element) {
  if (!(probability >= 0.0 && probability <= 1.0)) {
    throw ValueError("fill_bernoulli: a probability lies in [0, 1]; got {}", probability);
  }
  // uniform < p holds for the words whose 24 high bits are below p * 2^24, rounded up.
  const auto threshold = static_cast<std::uint32_t>(std::ceil(probability * 0x1p24));
  fill("fill_bernoulli", out, key, sample, first_element, [=](const Words& words, std::uint8_t* chunk) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      for (int j = 0; j < 4; ++j) chunk[4 * lane + j] = (words.word[j][lane] >> 8) < threshold ? 1 : 0;
    }
  });
}

}  // namespace retort
