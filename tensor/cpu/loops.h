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

/// Calls inner(count, offsets, strides) for runs along the fastest axis; offsets and strides are in elements.
template <int N, class Inner>
void for_each_run(const LoopNest<N>& nest, Inner&& inner) {
  constexpr std::int64_t kGrain = 16 * 1024;
  const auto last = static_cast<std::size_t>(nest.rank - 1);
  const std::int64_t run = nest.extent[last];
  std::array<std::int64_t, N> inner_stride{};
  for (std::size_t k = 0; k < N; ++k) inner_stride[k] = nest.stride[k][last];
  if (nest.rank == 1) {
    parallel_for(run, kGrain, [&](std::int64_t begin, std::int64_t end) {
      std::array<std::int64_t, N> offset{};
      for (std::size_t k = 0; k < N; ++k) offset[k] = begin * inner_stride[k];
      inner(end - begin, offset, inner_stride);
    });
    return;
  }
  std::int64_t rows = 1;
  for (std::size_t a = 0; a < last; ++a) rows *= nest.extent[a];
  parallel_for(rows, std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(run, 1)),
               [&](std::int64_t begin, std::int64_t end) {
                 std::array<std::int64_t, kMaxRank> at{};
                 std::array<std::int64_t, N> offset{};
                 std::int64_t rest = begin;
                 for (std::size_t a = last; a-- > 0;) {
                   at[a] = rest % nest.extent[a];
                   rest /= nest.extent[a];
                   for (std::size_t k = 0; k < N; ++k) offset[k] += at[a] * nest.stride[k][a];
                 }
                 for (std::int64_t row = begin; row < end; ++row) {
                   inner(run, offset, inner_stride);
                   for (std::size_t a = last; a-- > 0;) {
                     for (std::size_t k = 0; k < N; ++k) offset[k] += nest.stride[k][a];
                     if (++at[a] < nest.extent[a]) break;
                     for (std::size_t k = 0; k < N; ++k) offset[k] -= nest.stride[k][a] * nest.extent[a];
                     at[a] = 0;
                   }
                 }
               });
}

/// out = f(in...) elementwise with broadcasting; operand types In and Out, computed in compute_t<In>.
template <class In, class Out, class F>
void map_unary(const Tensor& x, const Tensor& y, F f) {
  if (y.numel() == 0) return;
  const LoopNest<2> nest({y.layout(), broadcast_layout(x.layout(), y.shape())});
  const In* px = x.data<In>();
  Out* py = y.mutable_data<Out>();
  for_each_run(nest, [&](std::int64_t n, const auto& at, const auto& step) {
    const In* a = px + at[1];
    Out* o = py + at[0];
    const auto one = [&](In v) { return static_cast<Out>(f(static_cast<compute_t<In>>(v))); };
    if (step[0] == 1 && step[1] == 1)
      for (std::int64_t i = 0; i < n; ++i) o[i] = one(a[i]);
    else
      for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = one(a[i * step[1]]);
  });
}

template <class In, class Out, class F>
void map_binary(const Tensor& x, const Tensor& y, const Tensor& z, F f) {
  if (z.numel() == 0) return;
  const LoopNest<3> nest(
      {z.layout(), broadcast_layout(x.layout(), z.shape()), broadcast_layout(y.layout(), z.shape())});
  const In *px = x.data<In>(), *py = y.data<In>();
  Out* pz = z.mutable_data<Out>();
  for_each_run(nest, [&](std::int64_t n, const auto& at, const auto& step) {
    const In *a = px + at[1], *b = py + at[2];
    Out* o = pz + at[0];
    using C = compute_t<In>;
    const auto one = [&](In u, In v) { return static_cast<Out>(f(static_cast<C>(u), static_cast<C>(v))); };
    if (step[0] == 1 && step[1] == 1 && step[2] == 1) {
      for (std::int64_t i = 0; i < n; ++i) o[i] = one(a[i], b[i]);
    } else if (step[0] == 1 && step[1] == 1 && step[2] == 0) {
      const In v = *b;
      for (std::int64_t i = 0; i < n; ++i) o[i] = one(a[i], v);
    } else if (step[0] == 1 && step[1] == 0 && step[2] == 1) {
      const In u = *a;
      for (std::int64_t i = 0; i < n; ++i) o[i] = one(u, b[i]);
    } else {
      for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = one(a[i * step[1]], b[i * step[2]]);
    }
  });
}

/// z = condition ? x : y elementwise with broadcasting.
template <class T>
void select(const Tensor& condition, const Tensor& x, const Tensor& y, const Tensor& z) {
  if (z.numel() == 0) return;
  const LoopNest<4> nest({z.layout(), broadcast_layout(condition.layout(), z.shape()),
                          broadcast_layout(x.layout(), z.shape()), broadcast_layout(y.layout(), z.shape())});
  const bool* pc = condition.data<bool>();
  const T *px = x.data<T>(), *py = y.data<T>();
  T* pz = z.mutable_data<T>();
  for_each_run(nest, [&](std::int64_t n, const auto& at, const auto& step) {
    const bool* c = pc + at[1];
    const T *a = px + at[2], *b = py + at[3];
    T* o = pz + at[0];
    const bool dense = step[0] == 1 && step[1] == 1;
    if (dense && step[2] == 1 && step[3] == 1) {
      for (std::int64_t i = 0; i < n; ++i) o[i] = c[i] ? a[i] : b[i];
    } else if (dense && step[2] == 1 && step[3] == 0) {
      const T v = *b;
      for (std::int64_t i = 0; i < n; ++i) o[i] = c[i] ? a[i] : v;
    } else if (dense && step[2] == 0 && step[3] == 1) {
      const T u = *a;
      for (std::int64_t i = 0; i < n; ++i) o[i] = c[i] ? u : b[i];
    } else {
      for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = c[i * step[1]] ? a[i * step[2]] : b[i * step[3]];
    }
  });
}

}  // namespace retort::cpu
