// tensor/cpu/random.cpp -- CPU kernels of random tensors: blocks of the keyed fields of tensor/rng.h.
#include <algorithm>
#include <array>

#include "tensor/attrs.h"
#include "tensor/cpu/parallel.h"
#include "tensor/primitive.h"
#include "tensor/rng.h"

namespace retort {

namespace {

/// Calls block(offset in the output, count, sample, first element within the sample) for blocks that cover the output.
template <class Block>
void for_each_block(const KernelCall& call, Block&& block) {
  constexpr std::int64_t kBlock = 4096;
  const std::int64_t total = call.out[0].numel();
  if (total == 0) return;
  const bool by_row = !call.in.empty();
  const auto samples = by_row ? call.in[0].values<std::int64_t>() : std::vector<std::int64_t>{0};
  for (const std::int64_t s : samples)
    if (s < 0 || static_cast<std::uint64_t>(s) >= kMaxRngSamples)
      throw ValueError("random: a sample index lies in [0, 2^32); got {}", s);
  const std::int64_t row = total / static_cast<std::int64_t>(samples.size());
  const std::int64_t blocks = (row + kBlock - 1) / kBlock;
  cpu::parallel_for(static_cast<std::int64_t>(samples.size()) * blocks, std::max<std::int64_t>(1, kBlock / row),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t job = begin; job < end; ++job) {
                        const std::int64_t r = job / blocks, first = job % blocks * kBlock;
                        block(r * row + first, std::min(kBlock, row - first),
                              static_cast<std::uint64_t>(samples[static_cast<std::size_t>(r)]),
                              static_cast<std::uint64_t>(first));
                      }
                    });
}

/// Draws floats in blocks, converted where the output is not f32 or f64.
template <class Fill>
void draw_floats(const KernelCall& call, Fill&& fill) {
  visit_float(call.out[0].dtype(), [&]<class T>(T) {
    T* out = call.out[0].mutable_data<T>();
    for_each_block(call, [&](std::int64_t at, std::int64_t n, std::uint64_t sample, std::uint64_t first) {
      if constexpr (sizeof(T) >= sizeof(float)) {
        fill(std::span<T>(out + at, static_cast<std::size_t>(n)), sample, first);
      } else {
        std::array<float, 4096> wide;
        fill(std::span<float>(wide.data(), static_cast<std::size_t>(n)), sample, first);
        std::transform(wide.begin(), wide.begin() + n, out + at, [](float v) { return static_cast<T>(v); });
      }
    });
  });
}

}  // namespace

RETORT_CPU_KERNEL(random_normal) {
  const RngKey& key = call.attrs.as<RandomAttrs>().key;
  draw_floats(call, [&](auto out, std::uint64_t sample, std::uint64_t first) { fill_normal(out, key, sample, first); });
}

RETORT_CPU_KERNEL(random_uniform) {
  const RngKey& key = call.attrs.as<RandomAttrs>().key;
  draw_floats(call,
              [&](auto out, std::uint64_t sample, std::uint64_t first) { fill_uniform(out, key, sample, first); });
}

RETORT_CPU_KERNEL(random_bernoulli) {
  const auto& attrs = call.attrs.as<RandomAttrs>();
  bool* out = call.out[0].mutable_data<bool>();
  for_each_block(call, [&](std::int64_t at, std::int64_t n, std::uint64_t sample, std::uint64_t first) {
    std::array<std::uint8_t, 4096> draw;
    fill_bernoulli(std::span(draw.data(), static_cast<std::size_t>(n)), attrs.probability, attrs.key, sample, first);
    std::transform(draw.begin(), draw.begin() + n, out + at, [](std::uint8_t v) { return v != 0; });
  });
}

}  // namespace retort
