// tensor/cpu/loops.h -- elementwise iteration over up to four operands of any strides, in the output's memory order.
#pragma once
#include <array>
#include <span>

#include "tensor/cpu/parallel.h"
#include "tensor/tensor.h"

namespace retort::cpu {

/// The common iteration space of an output (operand 0) and its inputs: axes ordered by the output's strides, slowest
/// first, and merged wherever every operand allows it. Dense operands of one arrangement become a single axis.
template <int N>
struct LoopNest {
  int rank = 0;
  std::array<std::int64_t, kMaxRank> extent{};
  std::array<std::array<std::int64_t, kMaxRank>, N> stride{};

  /// Runs along the fastest axis.
  std::int64_t rows() const {
    std::int64_t n = 1;
    for (int a = 0; a + 1 < rank; ++a) n *= extent[static_cast<std::size_t>(a)];
    return n;
  }

  explicit LoopNest(const std::array<Layout, N>& layouts) {
    const Layout& out = layouts[0];
    std::array<int, kMaxRank> order{};
    int axes = 0;
    for (int a = 0; a < out.shape.rank(); ++a)
      if (out.shape[a] != 1) {
        int at = axes++;
        for (; at > 0 && out.strides[order[static_cast<std::size_t>(at - 1)]] < out.strides[a]; --at)
          order[static_cast<std::size_t>(at)] = order[static_cast<std::size_t>(at - 1)];
        order[static_cast<std::size_t>(at)] = a;
      }
    for (int i = 0; i < axes; ++i) {
      const int a = order[static_cast<std::size_t>(i)];
      bool merges = rank > 0;
      for (std::size_t k = 0; k < N && merges; ++k)
        merges = stride[k][static_cast<std::size_t>(rank - 1)] == layouts[k].strides[a] * out.shape[a];
      if (!merges) ++rank;
      const auto at = static_cast<std::size_t>(rank - 1);
      extent[at] = merges ? extent[at] * out.shape[a] : out.shape[a];
      for (std::size_t k = 0; k < N; ++k) stride[k][at] = layouts[k].strides[a];
    }
    if (rank == 0) {
      rank = 1;
      extent[0] = 1;
    }
  }
};

/// Calls inner(count, offsets, strides) for the runs [begin, end) along the fastest axis, in order; offsets and strides
/// are in elements.
template <int N, class Inner>
void for_each_row(const LoopNest<N>& nest, std::int64_t begin, std::int64_t end, Inner&& inner) {
  const auto last = static_cast<std::size_t>(nest.rank - 1);
  std::array<std::int64_t, kMaxRank> at{};
  std::array<std::int64_t, N> offset{}, step{};
  for (std::size_t k = 0; k < N; ++k) step[k] = nest.stride[k][last];
  std::int64_t rest = begin;
  for (std::size_t a = last; a-- > 0;) {
    at[a] = rest % nest.extent[a];
    rest /= nest.extent[a];
    for (std::size_t k = 0; k < N; ++k) offset[k] += at[a] * nest.stride[k][a];
  }
  for (std::int64_t row = begin; row < end; ++row) {
    inner(nest.extent[last], offset, step);
    for (std::size_t a = last; a-- > 0;) {
      for (std::size_t k = 0; k < N; ++k) offset[k] += nest.stride[k][a];
      if (++at[a] < nest.extent[a]) break;
      for (std::size_t k = 0; k < N; ++k) offset[k] -= nest.stride[k][a] * nest.extent[a];
      at[a] = 0;
    }
  }
}

inline constexpr std::int64_t kGrain = 16 * 1024;  ///< elements per block of parallel work

/// As for_each_row, over all runs in parallel; a single run is cut. Blocks of work have about `grain` positions.
template <int N, class Inner>
void for_each_run(const LoopNest<N>& nest, Inner&& inner, std::int64_t grain = kGrain) {
  const auto last = static_cast<std::size_t>(nest.rank - 1);
  const std::int64_t run = nest.extent[last];
  if (nest.rank == 1) {
    std::array<std::int64_t, N> step{};
    for (std::size_t k = 0; k < N; ++k) step[k] = nest.stride[k][last];
    parallel_for(run, grain, [&](std::int64_t begin, std::int64_t end) {
      std::array<std::int64_t, N> offset{};
      for (std::size_t k = 0; k < N; ++k) offset[k] = begin * step[k];
      inner(end - begin, offset, step);
    });
    return;
  }
  parallel_for(nest.rows(), std::max<std::int64_t>(1, grain / std::max<std::int64_t>(run, 1)),
               [&](std::int64_t begin, std::int64_t end) { for_each_row(nest, begin, end, inner); });
}

/// Calls f(offsets) for every line along `axis`, in parallel; the layouts agree on all other axes.
template <int N, class F>
void for_each_line(std::array<Layout, N> layouts, int axis, F&& f) {
  const std::int64_t length = std::max<std::int64_t>(layouts[0].shape[axis], 1);
  for (Layout& layout : layouts) {
    layout.shape.erase(axis);
    layout.strides.erase(axis);
  }
  if (layouts[0].numel() == 0) return;
  for_each_run(
      LoopNest<N>(layouts),
      [&](std::int64_t n, std::array<std::int64_t, N> at, const auto& step) {
        for (std::int64_t i = 0; i < n; ++i) {
          f(at);
          for (std::size_t k = 0; k < N; ++k) at[k] += step[k];
        }
      },
      std::max<std::int64_t>(1, kGrain / length));
}

/// How runs of an element type are read into and written from its compute type. A unit-stride run of a type that is
/// its own compute type needs neither.
struct Access {
  std::int64_t size;  ///< of an element in memory
  bool direct;        ///< memory and compute type agree
  void (*load)(const std::byte* from, std::int64_t step, std::int64_t n, void* to);
  void (*store)(const void* from, std::int64_t n, std::byte* to, std::int64_t step);
};
template <class T>
const Access& access_of() {
  using C = compute_t<T>;
  static constexpr Access access{sizeof(T), std::is_same_v<T, C>,
                                 [](const std::byte* from, std::int64_t step, std::int64_t n, void* to) {
                                   const T* p = reinterpret_cast<const T*>(from);
                                   C* q = static_cast<C*>(to);
                                   if (step == 1)
                                     for (std::int64_t i = 0; i < n; ++i) q[i] = static_cast<C>(p[i]);
                                   else
                                     for (std::int64_t i = 0; i < n; ++i) q[i] = static_cast<C>(p[i * step]);
                                 },
                                 [](const void* from, std::int64_t n, std::byte* to, std::int64_t step) {
                                   const C* p = static_cast<const C*>(from);
                                   T* q = reinterpret_cast<T*>(to);
                                   if (step == 1)
                                     for (std::int64_t i = 0; i < n; ++i) q[i] = static_cast<T>(p[i]);
                                   else
                                     for (std::int64_t i = 0; i < n; ++i) q[i * step] = static_cast<T>(p[i]);
                                 }};
  return access;
}

/// One operand of an elementwise map, broadcast to the output's shape.
struct MapOperand {
  const Tensor* tensor;
  const Access* access;
};
/// Applies `block` to unit-stride runs in compute types: out[i] = f(in0[i], in1[i], ...) for i < n. This is the only
/// loop made per functor; strides, broadcasting and 16-bit types are handled around it, through buffers in L1.
using Block = void (*)(std::int64_t n, const void* const* in, void* out, const void* f);
void map_blocks(std::span<const MapOperand> in, const Tensor& out, const Access& out_access, Block block,
                const void* f);

/// y = f(x) elementwise with broadcasting; operand types In and Out, computed in compute_t<In>.
template <class In, class Out, class F>
void map_unary(const Tensor& x, const Tensor& y, const F& f) {
  using C = compute_t<In>;
  using R = compute_t<Out>;
  const MapOperand in[] = {{&x, &access_of<In>()}};
  map_blocks(
      in, y, access_of<Out>(),
      [](std::int64_t n, const void* const* in, void* out, const void* functor) {
        const F& g = *static_cast<const F*>(functor);
        const C* a = static_cast<const C*>(in[0]);
        R* o = static_cast<R*>(out);
        for (std::int64_t i = 0; i < n; ++i) o[i] = static_cast<R>(g(a[i]));
      },
      &f);
}

/// z = f(x, y), likewise.
template <class In, class Out, class F>
void map_binary(const Tensor& x, const Tensor& y, const Tensor& z, const F& f) {
  using C = compute_t<In>;
  using R = compute_t<Out>;
  const MapOperand in[] = {{&x, &access_of<In>()}, {&y, &access_of<In>()}};
  map_blocks(
      in, z, access_of<Out>(),
      [](std::int64_t n, const void* const* in, void* out, const void* functor) {
        const F& g = *static_cast<const F*>(functor);
        const C *a = static_cast<const C*>(in[0]), *b = static_cast<const C*>(in[1]);
        R* o = static_cast<R*>(out);
        for (std::int64_t i = 0; i < n; ++i) o[i] = static_cast<R>(g(a[i], b[i]));
      },
      &f);
}

/// z = condition ? x : y, likewise.
template <class T>
void select(const Tensor& condition, const Tensor& x, const Tensor& y, const Tensor& z) {
  using C = compute_t<T>;
  const MapOperand in[] = {{&condition, &access_of<bool>()}, {&x, &access_of<T>()}, {&y, &access_of<T>()}};
  map_blocks(
      in, z, access_of<T>(),
      [](std::int64_t n, const void* const* in, void* out, const void*) {
        const bool* c = static_cast<const bool*>(in[0]);
        const C *a = static_cast<const C*>(in[1]), *b = static_cast<const C*>(in[2]);
        C* o = static_cast<C*>(out);
        for (std::int64_t i = 0; i < n; ++i) o[i] = c[i] ? a[i] : b[i];
      },
      nullptr);
}

}  // namespace retort::cpu
