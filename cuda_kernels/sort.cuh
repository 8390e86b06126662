// cuda_kernels/sort.cuh -- bodies of sort: runs are sorted in shared memory, then merged in pairs. An entry is a key
// that orders as the values do above the element's place, so all entries differ and any order of work gives one result.
#pragma once
#include "cuda_kernels/device.cuh"
#include "cuda_kernels/sort.h"
#include "tensor/math.h"

namespace retort::kernels::RETORT_BACKEND {

inline constexpr std::int64_t kSortedRun = 1024;

RETORT_DEVICE std::uint64_t sort_entry(float value, std::uint32_t place, bool descending) {
  const std::uint32_t bits = ::retort::detail::to_bits(value + 0.0f), sign = 0x80000000u;  // turns -0 into 0
  std::uint32_t key = bits & sign ? ~bits : bits | sign;
  if (value != value) key = 0xffffffffu;
  return std::uint64_t{descending ? ~key : key} << 32 | place;
}

/// Block (run, row): the entries of up to `run` elements, a power of two, in order (Batcher 1968); two per thread.
template <class T>
RETORT_KERNEL void sort_runs(In<T> x, Out<std::uint64_t> entries, std::int64_t columns, unsigned run, bool descending) {
  RETORT_SHARED(std::uint64_t, line, kSortedRun);
  const std::int64_t runs = (columns + run - 1) / run, row = block_index().x / runs;
  const std::int64_t begin = block_index().x % runs * run, start = row * columns;
  for (unsigned i = thread_index().x; i < run; i += block_extent().x) {
    const std::int64_t c = begin + i;
    line[i] = c < columns ? sort_entry(widen(static_cast<T>(x[start + c])), static_cast<std::uint32_t>(c), descending)
                          : ~std::uint64_t{0};
  }
  for (unsigned size = 2; size <= run; size *= 2)
    for (unsigned apart = size / 2; apart > 0; apart /= 2) {
      sync_block();
      const unsigned t = thread_index().x, low = t / apart * 2 * apart + t % apart, high = low + apart;
      const std::uint64_t a = line[low], b = line[high];
      if ((a > b) == ((low & size) == 0)) {
        line[low] = b;
        line[high] = a;
      }
    }
  sync_block();
  for (unsigned i = thread_index().x; i < run; i += block_extent().x)
    if (begin + i < columns) entries[start + begin + i] = line[i];
}

/// Each entry finds its place among both runs of its pair: its own number, and how many of the other run lie below it.
RETORT_KERNEL void merge_runs(In<std::uint64_t> from, Out<std::uint64_t> to, std::int64_t columns, std::int64_t run,
                              std::int64_t elements) {
  const std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= elements) return;
  const std::int64_t c = e % columns, start = e - c, pair = c / (2 * run) * 2 * run;
  const bool first = c - pair < run;
  const std::int64_t own = first ? pair : pair + run;
  const std::int64_t other = first ? pair + run : pair;
  const std::int64_t other_end = other + run < columns ? other + run : columns;
  const std::uint64_t entry = from[e];
  std::int64_t low = other, high = other_end > other ? other_end : other;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (from[start + middle] < entry)
      low = middle + 1;
    else
      high = middle;
  }
  to[start + pair + (c - own) + (low - other)] = entry;
}

template <class T>
RETORT_KERNEL void take_sorted(In<T> x, In<std::uint64_t> entries, Out<T> values, Out<std::int64_t> places,
                               std::int64_t columns, std::int64_t count, std::int64_t elements) {
  const std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= elements) return;
  const std::int64_t row = e / count;
  const std::uint64_t entry = entries[row * columns + e % count];
  const auto place = static_cast<std::int64_t>(entry & 0xffffffffu);
  const T v = x[row * columns + place];
  values[e] = v;
  places[e] = place;
}

}  // namespace retort::kernels::RETORT_BACKEND
