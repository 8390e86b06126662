// tensor/cpu/scan.cpp -- CPU kernels of scans: running sums, products, log-sums and linear recurrences along an axis.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "tensor/attrs.h"
#include "tensor/cpu/loops.h"
#include "tensor/math.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

constexpr std::int64_t kPanel = 256;   ///< lines that advance together, when they lie side by side
constexpr std::int64_t kFarPanel = 8;  ///< when they do not: one cache line of each should stay in reach

/// Calls f(lines, offsets, steps) for panels of at most kPanel lines along `axis`, in parallel: the first line's
/// offset and the distance of the lines, per operand.
template <int N, class F>
void for_each_panel(std::array<Layout, N> layouts, int axis, const F& f) {
  const std::int64_t length = std::max<std::int64_t>(layouts[0].shape[axis], 1);
  for (Layout& layout : layouts) {
    layout.shape.erase(axis);
    layout.strides.erase(axis);
  }
  if (layouts[0].numel() == 0) return;
  const cpu::LoopNest<N> nest(layouts);
  bool near = true;
  for (const auto& strides : nest.stride) near &= strides[static_cast<std::size_t>(nest.rank - 1)] == 1;
  const std::int64_t panel = near ? kPanel : kFarPanel;
  cpu::for_each_run(
      nest,
      [&](std::int64_t n, std::array<std::int64_t, N> at, const auto& step) {
        for (std::int64_t i = 0; i < n; i += panel) {
          f(std::min(panel, n - i), at, step);
          for (std::size_t k = 0; k < N; ++k) at[k] += panel * step[k];
        }
      },
      std::max(near ? kPanel : 1, cpu::kGrain / length));
}

/// Advances a panel by one element per line; y gets the state after it, or before it when `exclusive`.
template <class T, class Join>
void advance(const Join& join, compute_t<T>* state, const T* x, std::int64_t sx, T* y, std::int64_t sy,
             std::int64_t lines, bool exclusive) {
  using C = compute_t<T>;
  const auto run = [&](std::int64_t step_x, std::int64_t step_y) {
    for (std::int64_t i = 0; i < lines; ++i) {
      C after = state[i];
      join(after, static_cast<C>(x[i * step_x]));
      y[i * step_y] = static_cast<T>(exclusive ? state[i] : after);
      state[i] = after;
    }
  };
  if (sx == 1 && sy == 1)
    run(1, 1);
  else
    run(sx, sy);
}

/// One vector of values, and its lanes moved up by `d` with `low` coming in from below. Vectors go by reference:
/// by value they would have no stable calling convention on machines without registers of that width.
template <class C>
struct Lanes {
  static constexpr int count = 64 / static_cast<int>(sizeof(C));
  using Vector [[gnu::vector_size(64)]] = C;
  using Indices = std::make_integer_sequence<int, count>;

  template <int d, int... i>
  static void raise(const Vector& low, const Vector& v, Vector& out, std::integer_sequence<int, i...>) {
    out = __builtin_shufflevector(low, v, (i < d ? i : count + i - d)...);
  }
  template <int... i>
  static void reversed(Vector& v, std::integer_sequence<int, i...>) {
    v = __builtin_shufflevector(v, v, (count - 1 - i)...);
  }
  template <int... i>
  static void last(const Vector& v, Vector& out, std::integer_sequence<int, i...>) {
    out = __builtin_shufflevector(v, v, (count - 1 + 0 * i)...);
  }
  static void splat(C value, Vector& out) {
    for (int i = 0; i < count; ++i) out[i] = value;
  }
};

/// A line that lies contiguously: prefixes within a vector by log2(lanes) shifted joins, then the carry joins them all,
/// so that the chain from vector to vector is one operation long.
template <class T, class Join>
void scan_line(const Join& join, compute_t<T> identity, const T* x, T* y, std::int64_t n, bool reverse,
               bool exclusive) {
  using C = compute_t<T>;
  using L = Lanes<C>;
  using V = typename L::Vector;
  constexpr typename L::Indices lanes{};
  V low, carry;
  L::splat(identity, low);
  carry = low;
  std::int64_t done = 0;
  for (; done + L::count <= n; done += L::count) {
    const std::int64_t at = reverse ? n - done - L::count : done;
    C buffer[L::count];
    for (int i = 0; i < L::count; ++i) buffer[i] = static_cast<C>(x[at + i]);
    V v, moved;
    std::memcpy(&v, buffer, sizeof(V));
    if (reverse) L::reversed(v, lanes);
    L::template raise<1>(low, v, moved, lanes);
    join(v, moved);
    L::template raise<2>(low, v, moved, lanes);
    join(v, moved);
    L::template raise<4>(low, v, moved, lanes);
    join(v, moved);
    if constexpr (L::count > 8) {
      L::template raise<8>(low, v, moved, lanes);
      join(v, moved);
    }
    join(v, carry);
    V result = v;
    if (exclusive) L::template raise<1>(carry, v, result, lanes);
    L::last(v, carry, lanes);
    if (reverse) L::reversed(result, lanes);
    std::memcpy(buffer, &result, sizeof(V));
    for (int i = 0; i < L::count; ++i) y[at + i] = static_cast<T>(buffer[i]);
  }
  C state = carry[0];
  for (; done < n; ++done) {
    const std::int64_t at = reverse ? n - 1 - done : done;
    C after = state;
    join(after, static_cast<C>(x[at]));
    y[at] = static_cast<T>(exclusive ? state : after);
    state = after;
  }
}

/// The scan of one input by `join`; `lanewise` when join also works on whole vectors.
template <bool lanewise, class T, class Join>
void scan(const KernelCall& call, const Join& join, compute_t<T> identity) {
  const auto& attrs = call.attrs.as<ScanAttrs>();
  const Tensor &x = call.in[0], &y = call.out[0];
  if (y.numel() == 0) return;
  const T* px = x.data<T>();
  T* py = y.mutable_data<T>();
  const std::int64_t n = x.size(attrs.axis), sx = x.strides()[attrs.axis], sy = y.strides()[attrs.axis];
  for_each_panel<2>({y.layout(), x.layout()}, attrs.axis, [&](std::int64_t lines, const auto& at, const auto& step) {
    if constexpr (lanewise) {
      if (sx == 1 && sy == 1) {
        for (std::int64_t i = 0; i < lines; ++i)
          scan_line(join, identity, px + at[1] + i * step[1], py + at[0] + i * step[0], n, attrs.reverse,
                    attrs.exclusive);
        return;
      }
    }
    std::array<compute_t<T>, kPanel> state;
    state.fill(identity);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t k = attrs.reverse ? n - 1 - i : i;
      advance(join, state.data(), px + at[1] + k * sx, step[1], py + at[0] + k * sy, step[0], lines, attrs.exclusive);
    }
  });
}

// Joins work in place, on values or on whole vectors.
struct Plus {
  template <class V>
  void operator()(V& a, const V& b) const {
    a = a + b;
  }
};
struct Times {
  template <class V>
  void operator()(V& a, const V& b) const {
    a = a * b;
  }
};
/// log(e^a + e^b); NaN when either is, and infinities as they are.
struct LogPlus {
  template <class C>
  void operator()(C& a, const C& b) const {
    if (b == -std::numeric_limits<C>::infinity()) return;
    const C distance = a == b ? C(0) : -std::abs(a - b);  // two equal infinities have none
    a = (a > b ? a : b) + log1p_fast(exp_fast(distance));
  }
};

}  // namespace

RETORT_CPU_KERNEL(cumsum) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { scan<true, T>(call, Plus{}, compute_t<T>(0)); });
}
RETORT_CPU_KERNEL(cumprod) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { scan<true, T>(call, Times{}, compute_t<T>(1)); });
}
RETORT_CPU_KERNEL(logcumsumexp) {
  visit_float(call.in[0].dtype(),
              [&]<class T>(T) { scan<false, T>(call, LogPlus{}, -std::numeric_limits<compute_t<T>>::infinity()); });
}

RETORT_CPU_KERNEL(linear_recurrence) {
  const auto& attrs = call.attrs.as<ScanAttrs>();
  const Tensor &a = call.in[0], &b = call.in[1], &h = call.out[0];
  if (h.numel() == 0) return;
  const std::int64_t n = h.size(attrs.axis), sa = a.strides()[attrs.axis];
  const std::int64_t sb = b.strides()[attrs.axis], sh = h.strides()[attrs.axis];
  visit_float(h.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const T *pa = a.data<T>(), *pb = b.data<T>();
    T* ph = h.mutable_data<T>();
    for_each_panel<3>({h.layout(), a.layout(), b.layout()}, attrs.axis,
                      [&](std::int64_t lines, const auto& at, const auto& step) {
                        std::array<C, kPanel> state{};
                        for (std::int64_t t = 0; t < n; ++t) {
                          const std::int64_t k = attrs.reverse ? n - 1 - t : t;
                          const T *qa = pa + at[1] + k * sa, *qb = pb + at[2] + k * sb;
                          T* qh = ph + at[0] + k * sh;
                          const auto run = [&](std::int64_t step_a, std::int64_t step_b, std::int64_t step_h) {
                            for (std::int64_t i = 0; i < lines; ++i) {
                              C& s = state[static_cast<std::size_t>(i)];
                              s = static_cast<C>(qa[i * step_a]) * s + static_cast<C>(qb[i * step_b]);
                              qh[i * step_h] = static_cast<T>(s);
                            }
                          };
                          if (step[0] == 1 && step[1] == 1 && step[2] == 1)
                            run(1, 1, 1);
                          else
                            run(step[1], step[2], step[0]);
                        }
                      });
  });
}

}  // namespace retort
