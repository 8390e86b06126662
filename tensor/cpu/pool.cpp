// tensor/cpu/pool.cpp -- pooling kernels: the inner loop runs over channels, gradients gather so that no two tasks
// write the same element and every sum has a fixed order.
#include "tensor/cpu/pool.h"

#include <algorithm>
#include <limits>

#include "tensor/cpu/parallel.h"
#include "tensor/dtype.h"

namespace retort::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kChannels = 128;        // channels handled at a time, in accumulators on the stack
constexpr Index kTaskElements = 16384;  // outputs worth a task

/// Half-open range of positions along one axis.
struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};

/// The i-th of `parts` parts that divide `size` positions as evenly as they can, overlapping where they must.
Range part(Index i, Index parts, Index size) { return {i * size / parts, ((i + 1) * size + parts - 1) / parts}; }

/// Input positions under window `o`, clipped to the image.
Range window(const PoolAxis& a, Index o) {
  if (a.adaptive > 0) return part(o, a.adaptive, a.size);
  const Index begin = o * a.stride - a.pad;
  return {std::max<Index>(0, begin), std::min(a.size, begin + a.kernel)};
}
/// Windows that cover input position `i`. Adaptive windows cover positions as positions cover windows.
Range covering(const PoolAxis& a, Index i) {
  if (a.adaptive > 0) return part(i, a.size, a.adaptive);
  const Index reach = i + a.pad - a.kernel;  // last position before the first window's start
  return {reach < 0 ? 0 : reach / a.stride + 1, std::min(a.out(), (i + a.pad) / a.stride + 1)};
}

/// Windows that share no position.
bool disjoint(const PoolAxis& a) { return a.adaptive == 0 && a.stride >= a.kernel; }
/// The positions nearest to window `o` among disjoint ones: every position belongs to one window, inside it or not.
Range owned(const PoolAxis& a, Index o) {
  const Index begin = o == 0 ? 0 : o * a.stride - a.pad;
  return {begin, o + 1 == a.out() ? a.size : (o + 1) * a.stride - a.pad};
}

/// Calls f(image, row, column, offset) for every pixel of an [n, rows, cols, c] array, in parallel over rows; `other`
/// elements are read for them in all.
template <class F>
void for_each_pixel(Index n, Index rows, Index cols, Index c, Index other, const F& f) {
  const Index work = std::max(n * rows * cols * c, other) / std::max<Index>(1, n * rows);
  const Index grain = std::max<Index>(1, kTaskElements / std::max<Index>(1, work));
  parallel_for(n * rows, grain, [&](Index begin, Index end) {
    for (Index line = begin; line < end; ++line)
      for (Index col = 0; col < cols; ++col) f(line / rows, line % rows, col, (line * cols + col) * c);
  });
}

/// Calls f(first channel, number of channels) for blocks that fit the accumulators.
template <class F>
void for_each_block(Index c, const F& f) {
  for (Index first = 0; first < c; first += kChannels) f(first, std::min(kChannels, c - first));
}

Index divisor(const PoolShape& s, bool count_include_pad, Index oy, Index ox) {
  if (count_include_pad && s.adaptive_h == 0 && s.adaptive_w == 0) return s.kh * s.kw;
  return window(s.rows(), oy).size() * window(s.cols(), ox).size();
}

}  // namespace

template <class T>
void max_pool_forward(const PoolShape& s, const T* x, T* y, std::int32_t* argmax) {
  using C = compute_t<T>;
  for_each_pixel(s.n, s.out_h(), s.out_w(), s.c, s.n * s.h * s.w * s.c, [&](Index image, Index oy, Index ox, Index at) {
    const Range rows = window(s.rows(), oy), cols = window(s.cols(), ox);
    for_each_block(s.c, [&](Index first, Index count) {
      C best[kChannels];
      std::int32_t where[kChannels];
      std::fill_n(best, count, -std::numeric_limits<C>::infinity());
      std::fill_n(where, count, static_cast<std::int32_t>(rows.begin * s.w + cols.begin));
      for (Index iy = rows.begin; iy < rows.end; ++iy)
        for (Index ix = cols.begin; ix < cols.end; ++ix) {
          const T* from = x + ((image * s.h + iy) * s.w + ix) * s.c + first;
          const std::int32_t here = static_cast<std::int32_t>(iy * s.w + ix);
          for (Index c = 0; c < count; ++c) {
            const C value = static_cast<C>(from[c]);
            // A NaN takes over from numbers and is kept: nothing compares larger than it.
            const bool larger = value > best[c] || (value != value && best[c] == best[c]);
            best[c] = larger ? value : best[c];
            where[c] = larger ? here : where[c];
          }
        }
      for (Index c = 0; c < count; ++c) {
        y[at + first + c] = static_cast<T>(best[c]);
        argmax[at + first + c] = where[c];
      }
    });
  });
}

/// Every element of dx is written once, by the only window that may have chosen it.
template <class T>
void scatter_disjoint(const PoolShape& s, const T* dy, const std::int32_t* argmax, T* dx) {
  for_each_pixel(s.n, s.out_h(), s.out_w(), s.c, s.n * s.h * s.w * s.c, [&](Index image, Index oy, Index ox, Index at) {
    const Range rows = owned(s.rows(), oy), cols = owned(s.cols(), ox);
    for (Index iy = rows.begin; iy < rows.end; ++iy)
      for (Index ix = cols.begin; ix < cols.end; ++ix) {
        const std::int32_t here = static_cast<std::int32_t>(iy * s.w + ix);
        T* const to = dx + ((image * s.h + iy) * s.w + ix) * s.c;
#pragma omp simd
        for (Index c = 0; c < s.c; ++c) {
          const T gradient = dy[at + c];  // read in any case, so that the loop has no branch
          to[c] = argmax[at + c] == here ? gradient : T(0);
        }
      }
  });
}

template <class T>
void max_pool_backward(const PoolShape& s, const T* dy, const std::int32_t* argmax, T* dx) {
  using C = compute_t<T>;
  if (disjoint(s.rows()) && disjoint(s.cols()) && s.out_h() > 0 && s.out_w() > 0) {
    scatter_disjoint(s, dy, argmax, dx);
    return;
  }
  for_each_pixel(s.n, s.h, s.w, s.c, s.n * s.out_h() * s.out_w() * s.c, [&](Index image, Index iy, Index ix, Index at) {
    const Range rows = covering(s.rows(), iy), cols = covering(s.cols(), ix);
    const std::int32_t here = static_cast<std::int32_t>(iy * s.w + ix);
    for_each_block(s.c, [&](Index first, Index count) {
      C sum[kChannels];
      std::fill_n(sum, count, C(0));
      for (Index oy = rows.begin; oy < rows.end; ++oy)
        for (Index ox = cols.begin; ox < cols.end; ++ox) {
          const Index from = ((image * s.out_h() + oy) * s.out_w() + ox) * s.c + first;
          for (Index c = 0; c < count; ++c) sum[c] += argmax[from + c] == here ? static_cast<C>(dy[from + c]) : C(0);
        }
      for (Index c = 0; c < count; ++c) dx[at + first + c] = static_cast<T>(sum[c]);
    });
  });
}

template <class T>
void max_pool_gather(const PoolShape& s, const T* x, const std::int32_t* argmax, T* y) {
  for_each_pixel(s.n, s.out_h(), s.out_w(), s.c, s.n * s.h * s.w * s.c, [&](Index image, Index, Index, Index at) {
    const T* from = x + image * s.h * s.w * s.c;
    for (Index c = 0; c < s.c; ++c) y[at + c] = from[argmax[at + c] * s.c + c];
  });
}

template <class T>
void avg_pool_forward(const PoolShape& s, bool count_include_pad, const T* x, T* y) {
  using C = compute_t<T>;
  for_each_pixel(s.n, s.out_h(), s.out_w(), s.c, s.n * s.h * s.w * s.c, [&](Index image, Index oy, Index ox, Index at) {
    const Range rows = window(s.rows(), oy), cols = window(s.cols(), ox);
    const C count_of_window = static_cast<C>(divisor(s, count_include_pad, oy, ox));
    for_each_block(s.c, [&](Index first, Index count) {
      C sum[kChannels];
      std::fill_n(sum, count, C(0));
      for (Index iy = rows.begin; iy < rows.end; ++iy)
        for (Index ix = cols.begin; ix < cols.end; ++ix) {
          const T* from = x + ((image * s.h + iy) * s.w + ix) * s.c + first;
          for (Index c = 0; c < count; ++c) sum[c] += static_cast<C>(from[c]);
        }
      for (Index c = 0; c < count; ++c) y[at + first + c] = static_cast<T>(sum[c] / count_of_window);
    });
  });
}

template <class T>
void avg_pool_backward(const PoolShape& s, bool count_include_pad, const T* dy, T* dx) {
  using C = compute_t<T>;
  for_each_pixel(s.n, s.h, s.w, s.c, s.n * s.out_h() * s.out_w() * s.c, [&](Index image, Index iy, Index ix, Index at) {
    const Range rows = covering(s.rows(), iy), cols = covering(s.cols(), ix);
    for_each_block(s.c, [&](Index first, Index count) {
      C sum[kChannels];
      std::fill_n(sum, count, C(0));
      for (Index oy = rows.begin; oy < rows.end; ++oy)
        for (Index ox = cols.begin; ox < cols.end; ++ox) {
          const T* from = dy + ((image * s.out_h() + oy) * s.out_w() + ox) * s.c + first;
          const C count_of_window = static_cast<C>(divisor(s, count_include_pad, oy, ox));
          for (Index c = 0; c < count; ++c) sum[c] += static_cast<C>(from[c]) / count_of_window;
        }
      for (Index c = 0; c < count; ++c) dx[at + first + c] = static_cast<T>(sum[c]);
    });
  });
}

#define RETORT_POOL(T)                                                                  \
  template void max_pool_forward(const PoolShape&, const T*, T*, std::int32_t*);        \
  template void max_pool_backward(const PoolShape&, const T*, const std::int32_t*, T*); \
  template void max_pool_gather(const PoolShape&, const T*, const std::int32_t*, T*);   \
  template void avg_pool_forward(const PoolShape&, bool, const T*, T*);                 \
  template void avg_pool_backward(const PoolShape&, bool, const T*, T*)
RETORT_POOL(double);
RETORT_POOL(float);
RETORT_POOL(BFloat16);
RETORT_POOL(Half);
#undef RETORT_POOL

}  // namespace retort::cpu
