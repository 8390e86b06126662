// tensor/cpu/resize.cpp -- CPU kernels of resize2d and its adjoint: one separable map each, between channels-last
// images.
#include <algorithm>

#include "tensor/cpu/parallel.h"
#include "tensor/cpu/scratch.h"
#include "tensor/primitive.h"
#include "tensor/resample.h"

namespace retort {

namespace {

using Index = std::int64_t;

constexpr Index kTaskElements = 16384;  // elements read or written that are worth a task

/// A table with weights in the type of the sums.
template <class C>
struct Taps {
  struct Row {
    Index first, count;
    const C* weights;
  };
  std::vector<C> weights;
  std::vector<Row> rows;
  explicit Taps(const ResampleTable& table) {
    std::size_t total = 0;
    for (Index o = 0; o < table.size(); ++o) total += static_cast<std::size_t>(table.count(o));
    weights.reserve(total);  // rows point into it
    for (Index o = 0; o < table.size(); ++o) {
      rows.push_back({table.first(o), table.count(o), weights.data() + weights.size()});
      for (Index k = 0; k < table.count(o); ++k) weights.push_back(static_cast<C>(table.weights(o)[k]));
    }
  }
};

/// out[i] = sum over k of weights[k] x[k * stride + i] for i < n, the terms in order, two at a time. `kN` is n when it
/// is known at compile time, else 0.
template <Index kN, class T, class C, class Out>
void weighted_sum(const T* x, Index stride, const C* weights, Index count, Index n, Out* out) {
  const Index length = kN > 0 ? kN : n;
  if (count == 0) {
    std::fill_n(out, length, static_cast<Out>(C(0)));
    return;
  }
  if constexpr (kN > 0) {
    C sum[kN] = {};
    for (Index k = 0; k < count; ++k)
      for (Index i = 0; i < kN; ++i) sum[i] += weights[k] * static_cast<C>(x[k * stride + i]);
    for (Index i = 0; i < kN; ++i) out[i] = static_cast<Out>(sum[i]);
  } else if (count == 1) {
    const C w = weights[0];
    for (Index i = 0; i < length; ++i) out[i] = static_cast<Out>(w * static_cast<C>(x[i]));
  } else if (count == 2) {
    const C v = weights[0], w = weights[1];
    const T* next = x + stride;
    for (Index i = 0; i < length; ++i)
      out[i] = static_cast<Out>(v * static_cast<C>(x[i]) + w * static_cast<C>(next[i]));
  } else {
    constexpr Index kBlock = 64;  // sums kept in registers
    for (Index begin = 0; begin < length; begin += kBlock) {
      C sum[kBlock] = {};
      const Index width = std::min(kBlock, length - begin);
      for (Index k = 0; k < count; ++k) {
        const T* row = x + k * stride + begin;
        const C w = weights[k];
        for (Index i = 0; i < width; ++i) sum[i] += w * static_cast<C>(row[i]);
      }
      for (Index i = 0; i < width; ++i) out[begin + i] = static_cast<Out>(sum[i]);
    }
  }
}

/// y [n, rows, cols, c] from x [n, x_rows, x_cols, c]. For every row of y, x's rows are combined into one, whose pixels
/// are then combined: the row between stays in the cache and no image between is ever stored.
template <Index kChannels, class T>
void resize(const T* x, Index n, Index x_rows, Index x_cols, Index channels, const ResampleTable& row_table,
            const ResampleTable& col_table, T* y) {
  using C = compute_t<T>;
  const Taps<C> vertical(row_table), horizontal(col_table);
  const Index c = kChannels > 0 ? kChannels : channels;
  const Index rows = row_table.size(), cols = col_table.size(), x_line = x_cols * c, y_line = cols * c;
  const Index work = std::max(x_rows * x_line / std::max<Index>(rows, 1), y_line);
  cpu::parallel_for(n * rows, std::max<Index>(1, kTaskElements / std::max<Index>(work, 1)),
                    [&](Index begin, Index end) {
                      const cpu::Scratch<C> line(x_line);
                      for (Index at = begin; at < end; ++at) {
                        const auto& row = vertical.rows[static_cast<std::size_t>(at % rows)];
                        const T* from = x + (at / rows * x_rows + row.first) * x_line;
                        weighted_sum<0>(from, x_line, row.weights, row.count, x_line, line.data());
                        T* to = y + at * y_line;
                        for (const auto& pixel : horizontal.rows) {
                          weighted_sum<kChannels>(line.data() + pixel.first * c, c, pixel.weights, pixel.count, c, to);
                          to += c;
                        }
                      }
                    });
}

void resize(const Tensor& x, const Tensor& y, const ResampleTable& rows, const ResampleTable& cols) {
  if (y.numel() == 0) return;
  const Shape& s = x.shape();
  visit_float(x.dtype(), [&]<class T>(T) {
    const auto run = [&](auto channels) {
      resize<decltype(channels)::value>(x.data<T>(), s[0], s[2], s[3], s[1], rows, cols, y.mutable_data<T>());
    };
    // Loops over so few channels pay only when their length is known.
    switch (s[1]) {
      case 1:
        return run(std::integral_constant<Index, 1>());
      case 3:
        return run(std::integral_constant<Index, 3>());
      case 4:
        return run(std::integral_constant<Index, 4>());
      default:
        return run(std::integral_constant<Index, 0>());
    }
  });
}

}  // namespace

RETORT_CPU_KERNEL(resize2d) {
  const auto& a = call.attrs.as<Resize2dAttrs>();
  resize(call.in[0], call.out[0], resample_table(a, a.in_h, a.out_h), resample_table(a, a.in_w, a.out_w));
}

RETORT_CPU_KERNEL(resize2d_grad) {
  const auto& a = call.attrs.as<Resize2dAttrs>();
  resize(call.in[0], call.out[0], resample_table(a, a.in_h, a.out_h).transposed(a.in_h),
         resample_table(a, a.in_w, a.out_w).transposed(a.in_w));
}

}  // namespace retort
