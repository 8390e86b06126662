#include "tensor/cpu/copy.h"

#include <algorithm>
#include <array>

#include "tensor/cpu/loops.h"

namespace retort::cpu {

namespace {

/// The axis along which the source, but not the target, is stored side by side; -1 when tiles would not help.
int crossed_axis(const LoopNest<2>& nest) {
  const auto last = static_cast<std::size_t>(nest.rank - 1);
  if (nest.stride[0][last] != 1 || nest.stride[1][last] == 1 || nest.extent[last] < 8) return -1;
  for (std::size_t a = 0; a < last; ++a)
    if (nest.stride[1][a] == 1 && nest.extent[a] >= 8) return static_cast<int>(a);
  return -1;
}

/// By tiles as wide as a cache line, turned in a buffer: every line is read and written whole, once, even where strides
/// are powers of two and lines crowd in one set of the cache.
template <class T>
void copy_crossed(const LoopNest<2>& nest, std::size_t crossed, const T* from, T* to) {
  constexpr std::int64_t kTile = sizeof(T) == 1 ? 32 : 64 / static_cast<std::int64_t>(sizeof(T));
  const auto last = static_cast<std::size_t>(nest.rank - 1);
  const std::int64_t rows = nest.extent[crossed], columns = nest.extent[last];
  const std::int64_t to_step = nest.stride[0][crossed], from_step = nest.stride[1][last];
  // One run per band of rows: the nest of all other axes and of the bands.
  LoopNest<2> outer = nest;
  const std::int64_t bands = (rows + kTile - 1) / kTile;
  outer.extent[crossed] = bands;
  outer.stride[0][crossed] *= kTile;
  outer.stride[1][crossed] *= kTile;
  outer.extent[last] = 1;
  std::int64_t inner_bands = 1;  // how many positions of the nest share a band number
  for (std::size_t a = crossed + 1; a < last; ++a) inner_bands *= nest.extent[a];
  const auto turn_band = [&](const T* a, T* o, std::int64_t height) {
    alignas(64) std::array<T, kTile * kTile> tile;
    for (std::int64_t c = 0; c < columns; c += kTile, a += kTile * from_step, o += kTile) {
      const std::int64_t width = std::min(kTile, columns - c);
      for (std::int64_t k = 0; k < width; ++k)
        for (std::int64_t r = 0; r < height; ++r) tile[static_cast<std::size_t>(r * kTile + k)] = a[k * from_step + r];
      for (std::int64_t r = 0; r < height; ++r) std::copy_n(tile.data() + r * kTile, width, o + r * to_step);
    }
  };
  parallel_for(outer.rows(), std::max<std::int64_t>(1, kGrain / (kTile * columns)),
               [&](std::int64_t begin, std::int64_t end) {
                 std::int64_t job = begin;
                 for_each_row(outer, begin, end, [&](std::int64_t, const auto& at, const auto&) {
                   const std::int64_t band = job++ / inner_bands % bands;
                   turn_band(from + at[1], to + at[0], std::min(kTile, rows - band * kTile));
                 });
               });
}

}  // namespace

void copy_elements(const Tensor& from, const Layout& from_layout, const Tensor& to, const Layout& to_layout) {
  if (to_layout.numel() == 0) return;
  const LoopNest<2> nest({to_layout, from_layout});
  const int crossed = crossed_axis(nest);
  visit_any(from.dtype(), [&]<class T>(T) {
    const T* source = from.data<T>() + from_layout.offset;
    T* target = to.mutable_data<T>() + to_layout.offset;
    if (crossed >= 0) return copy_crossed(nest, static_cast<std::size_t>(crossed), source, target);
    for_each_run(nest, [&](std::int64_t n, const auto& at, const auto& step) {
      const T* a = source + at[1];
      T* o = target + at[0];
      if (step[0] == 1 && step[1] == 1)
        std::copy_n(a, n, o);
      else
        for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = a[i * step[1]];
    });
  });
}

}  // namespace retort::cpu
