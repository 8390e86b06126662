// tensor/cpu/gemm.cpp -- cuts batched products into tiles that follow from the sizes alone, and runs them in parallel.
#include "tensor/cpu/gemm.h"

#include <algorithm>
#include <optional>
#include <type_traits>
#include <vector>

#include "tensor/cpu/gemm_kernels.h"
#include "tensor/cpu/scratch.h"
#include "tensor/cpu/tasks.h"

namespace retort::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kTasks = 8;            // tiles a product is cut into once it is large enough
constexpr double kTaskWork = 2097152;  // floating-point operations worth handing to a thread (about 20 us)
constexpr Index kMinTileM = 64;        // smaller tiles lose more to packing than threads give
constexpr Index kMinTileN = 128;
constexpr Index kTileArea = 16384;   // outputs of a tile, when a product is cut into more than two
constexpr Index kThin = 8;           // rows of A, or columns of B, below which memory decides
constexpr Index kMaxTile = 1024;     // by half of it: the operands of a tile stay near the second-level cache
constexpr Index kMinDepth = 512;     // shortest slice of k
constexpr Index kPanelDepth = 1024;  // columns of A and rows of B that are packed or converted at a time

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

/// Tile extents and how many tiles cover each dimension of one product.
struct Tiling {
  Index m, n, k;
  Index grid_m, grid_n, grid_k;
};

Index grid_extent(Index size, Index parts, Index& tile) {
  tile = ceil_div(ceil_div(size, parts), 16) * 16;
  return ceil_div(size, tile);
}

/// Which operands are column-major. Such operands are packed with a transposition, so that what is packed once should
/// serve more: tiles are tall for B, wide for A.
struct Orders {
  bool a_columns, b_columns;
};

/// Depends on sizes and orders only, never on threads.
Tiling plan_tiles(Index batch, Index m, Index n, Index k, Orders orders) {
  const double flops = 2.0 * double(m) * double(n) * double(k);
  const double traffic = 16.0 * (double(m) * double(k) + double(k) * double(n) + double(m) * double(n));
  const double work = double(batch) * std::max(flops, traffic);
  const Index wanted = static_cast<Index>(std::clamp(work / kTaskWork, 1.0, double(kTasks)));
  const Index per_product = ceil_div(wanted, batch);
  const auto parts_of_k = [&](Index parts) { return std::clamp<Index>(parts, 1, std::max<Index>(1, k / kMinDepth)); };
  // A few rows times a row-major matrix (or its mirror image) stream memory: slices of k keep its rows whole.
  if ((m < kThin && !orders.b_columns) || (n < kThin && orders.a_columns)) {
    Tiling t{m, n, k, 1, 1, 1};
    if (parts_of_k(per_product) > 1) t.grid_k = grid_extent(k, parts_of_k(per_product), t.k);
    if (t.grid_k > 1 || per_product == 1) return t;
  }
  const Index area = std::max(m, kMinTileM) * std::max(n, kMinTileN);
  const Index tiles = std::min(per_product, std::max(std::min<Index>(2, area / (kTileArea / 2)), area / kTileArea));
  const Index tall = orders.b_columns ? 2 : 1, wide = orders.a_columns ? 2 : 1;
  Index parts_m = 1, parts_n = 1;
  while (parts_m * parts_n < tiles) {
    const Index rows = ceil_div(m, parts_m), cols = ceil_div(n, parts_n);
    const bool can_m = rows >= 2 * kMinTileM, can_n = cols >= 2 * kMinTileN;
    if (!can_m && !can_n) break;
    if (can_n && (!can_m || tall * cols >= wide * rows)) {
      parts_n *= 2;
    } else {
      parts_m *= 2;
    }
  }
  Tiling t{};
  const Index max_m = wide > tall ? kMaxTile / 2 : kMaxTile, max_n = wide > tall ? kMaxTile : kMaxTile / 2;
  t.grid_m = grid_extent(m, std::max(parts_m, ceil_div(m, max_m)), t.m);
  t.grid_n = grid_extent(n, std::max(parts_n, ceil_div(n, max_n)), t.n);
  const Index parts_k = parts_of_k(per_product / (parts_m * parts_n));
  t.grid_k = parts_k == 1 ? (t.k = k, 1) : grid_extent(k, parts_k, t.k);
  return t;
}

template <class T>
std::optional<TileOperand<T>> in_place(MatrixView<T> v, Index rows, Index cols) {
  if ((v.col_stride == 1 || cols == 1) && (v.row_stride >= cols || rows == 1))
    return TileOperand<T>{v.data, rows == 1 ? cols : v.row_stride, false};
  if ((v.row_stride == 1 || rows == 1) && (v.col_stride >= rows || cols == 1))
    return TileOperand<T>{v.data, cols == 1 ? rows : v.col_stride, true};
  return std::nullopt;
}

/// Copies a panel to `to` in the compute type, with the orientation that reads memory along the shorter stride.
template <class T, class C>
TileOperand<C> pack(MatrixView<T> v, Index rows, Index cols, C* to) {
  const bool transposed = std::abs(v.row_stride) < std::abs(v.col_stride);
  const Index outer = transposed ? cols : rows, inner = transposed ? rows : cols;
  const Index outer_stride = transposed ? v.col_stride : v.row_stride,
              inner_stride = transposed ? v.row_stride : v.col_stride;
  for (Index o = 0; o < outer; ++o) {
    const T* from = v.data + o * outer_stride;
    C* line = to + o * inner;
    if (inner_stride == 1) {
      for (Index i = 0; i < inner; ++i) line[i] = static_cast<C>(from[i]);
    } else {
      for (Index i = 0; i < inner; ++i) line[i] = static_cast<C>(from[i * inner_stride]);
    }
  }
  return {to, inner, transposed};
}

/// `v` moved by `offset` elements, then to its element (row, col).
template <class T>
MatrixView<T> shifted(MatrixView<T> v, Index offset, Index row, Index col) {
  return {v.data + offset + row * v.row_stride + col * v.col_stride, v.row_stride, v.col_stride};
}

/// c = alpha * sum over slices + beta * c for `rows` rows; slice s begins at sums + s * slice_stride.
template <class C, class Out>
void finish(const C* sums, Index slices, Index slice_stride, Index rows, Index cols, C alpha, C beta, Out* c,
            Index ldc) {
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j) {
      C sum = sums[i * cols + j];
      for (Index s = 1; s < slices; ++s) sum += sums[s * slice_stride + i * cols + j];
      Out& out = c[i * ldc + j];
      out = static_cast<Out>(beta == C(0) ? alpha * sum : alpha * sum + beta * static_cast<C>(out));
    }
}

/// c *= beta; zero, without reading c, when beta is 0.
template <class C, class Out>
void scale(Index rows, Index cols, C beta, Out* c, Index ldc) {
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j)
      c[i * ldc + j] = beta == C(0) ? Out(0) : static_cast<Out>(beta * static_cast<C>(c[i * ldc + j]));
}

template <class P, class C>
void panel_product(Index m, Index n, Index k, C alpha, TileOperand<P> a, TileOperand<P> b, C beta, C* c, Index ldc,
                   Engine engine) {
  if constexpr (std::is_same_v<P, C>) {
    tile_product(m, n, k, alpha, a, b, beta, c, ldc, engine);
  } else {
    tile_product(m, n, k, a, b, beta != C(0), c, ldc);
  }
}

/// One tile with operands of type P (In itself or the compute type): in place where type and strides allow, else panel
/// by panel along k. When P is narrower than C, alpha is 1 and beta 0 or 1.
template <class P, class In, class C>
void tile_of(Index m, Index n, Index k, C alpha, MatrixView<In> a, MatrixView<In> b, C beta, C* c, Index ldc,
             Engine engine) {
  std::optional<TileOperand<P>> whole_a, whole_b;
  if constexpr (std::is_same_v<In, P>) {
    whole_a = in_place(a, m, k);
    whole_b = in_place(b, k, n);
  }
  if (whole_a && whole_b) return panel_product(m, n, k, alpha, *whole_a, *whole_b, beta, c, ldc, engine);
  const Index depth = std::min(k, kPanelDepth);
  const Scratch<P> panel_a(whole_a ? 0 : m * depth), panel_b(whole_b ? 0 : depth * n);
  const auto at_depth = [](TileOperand<P> x, Index p, bool is_a) {
    x.data += is_a == x.transposed ? p * x.ld : p;
    return x;
  };
  for (Index p = 0; p < k; p += depth) {
    const Index d = std::min(depth, k - p);
    const auto pa = whole_a ? at_depth(*whole_a, p, true) : pack(shifted(a, 0, 0, p), m, d, panel_a.data());
    const auto pb = whole_b ? at_depth(*whole_b, p, false) : pack(shifted(b, 0, p, 0), d, n, panel_b.data());
    panel_product(m, n, d, alpha, pa, pb, p == 0 ? beta : C(1), c, ldc, engine);
  }
}

/// One tile accumulated in the compute type: c = alpha * a b + beta * c.
template <class In, class C>
void tile_in_compute_type(Index m, Index n, Index k, C alpha, MatrixView<In> a, MatrixView<In> b, C beta, C* c,
                          Index ldc, Engine engine) {
  if constexpr (std::is_same_v<In, BFloat16>) {
    if (multiplies_bf16(engine)) {
      if (alpha == C(1) && (beta == C(0) || beta == C(1)))
        return tile_of<BFloat16>(m, n, k, alpha, a, b, beta, c, ldc, engine);
      const Scratch<C> sums(m * n);
      tile_of<BFloat16>(m, n, k, C(1), a, b, C(0), sums.data(), n, engine);
      return finish(sums.data(), 1, 0, m, n, alpha, beta, c, ldc);
    }
  }
  tile_of<C>(m, n, k, alpha, a, b, beta, c, ldc, engine);
}

template <class In, class Out>
void tile(Index m, Index n, Index k, compute_t<In> alpha, MatrixView<In> a, MatrixView<In> b, compute_t<In> beta,
          Out* c, Index ldc, Engine engine) {
  using C = compute_t<In>;
  if constexpr (std::is_same_v<Out, C>) {
    tile_in_compute_type(m, n, k, alpha, a, b, beta, c, ldc, engine);
  } else {
    const Scratch<C> sums(m * n);
    tile_in_compute_type(m, n, k, C(1), a, b, C(0), sums.data(), n, engine);
    finish(sums.data(), 1, 0, m, n, alpha, beta, c, ldc);
  }
}

/// Where each product of the batch begins.
struct BatchOffsets {
  Index a, b, c;
};

BatchOffsets offsets_of(std::span<const BatchAxis> batch, Index index) {
  BatchOffsets at{0, 0, 0};
  for (std::size_t axis = batch.size(); axis-- > 0;) {
    const Index i = index % batch[axis].extent;
    index /= batch[axis].extent;
    at.a += i * batch[axis].a_stride;
    at.b += i * batch[axis].b_stride;
    at.c += i * batch[axis].c_stride;
  }
  return at;
}

/// Slices k: every slice of every product goes to its own part of the scratch, which is then added up in order.
template <class In, class Out>
void sliced(std::span<const BatchAxis> batch, Index count, const Tiling& t, Index m, Index n, Index k,
            compute_t<In> alpha, MatrixView<In> a, MatrixView<In> b, compute_t<In> beta, Out* c, Index ldc,
            Engine engine) {
  using C = compute_t<In>;
  const Index slice = m * n;
  const Scratch<C> sums(count * t.grid_k * slice);
  parallel_tasks(count * t.grid_m * t.grid_n * t.grid_k, [&](Index task) {
    const Index s = task % t.grid_k, j = task / t.grid_k % t.grid_n * t.n;
    const Index i = task / (t.grid_k * t.grid_n) % t.grid_m * t.m, product = task / (t.grid_k * t.grid_n * t.grid_m);
    const BatchOffsets at = offsets_of(batch, product);
    C* out = sums.data() + (product * t.grid_k + s) * slice + i * n + j;
    tile_in_compute_type(std::min(t.m, m - i), std::min(t.n, n - j), std::min(t.k, k - s * t.k), C(1),
                         shifted(a, at.a, i, s * t.k), shifted(b, at.b, s * t.k, j), C(0), out, n, engine);
  });
  for (Index product = 0; product < count; ++product)
    finish(sums.data() + product * t.grid_k * slice, t.grid_k, slice, m, n, alpha, beta,
           c + offsets_of(batch, product).c, ldc);
}

}  // namespace

template <class In, class Out>
void gemm_batched(std::span<const BatchAxis> batch, Index m, Index n, Index k, double alpha, MatrixView<In> a,
                  MatrixView<In> b, double beta, Out* c, Index ldc, Engine engine) {
  using C = compute_t<In>;
  std::vector<BatchAxis> axes(batch.begin(), batch.end());
  // A batch of row blocks against one B is a single taller product.
  while (!axes.empty() && axes.back().b_stride == 0 && axes.back().a_stride == m * a.row_stride &&
         axes.back().c_stride == m * ldc) {
    m *= axes.back().extent;
    axes.pop_back();
  }
  Index count = 1;
  for (const BatchAxis& axis : axes) count *= axis.extent;
  if (count == 0 || m == 0 || n == 0) return;
  if (k == 0) {
    for (Index product = 0; product < count; ++product) scale(m, n, C(beta), c + offsets_of(axes, product).c, ldc);
    return;
  }
  const Tiling t =
      plan_tiles(count, m, n, k, {a.row_stride == 1 && a.col_stride != 1, b.row_stride == 1 && b.col_stride != 1});
  if (t.grid_k > 1) return sliced(axes, count, t, m, n, k, C(alpha), a, b, C(beta), c, ldc, engine);

  const Index tiles = t.grid_m * t.grid_n;
  // Small products share a task; this only schedules, each product is computed alone.
  const Index per_task =
      std::max<Index>(1, static_cast<Index>(kTaskWork / (2.0 * double(t.m) * double(t.n) * double(k))));
  parallel_tasks(ceil_div(count * tiles, per_task), [&](Index task) {
    for (Index u = task * per_task; u < std::min(count * tiles, (task + 1) * per_task); ++u) {
      const Index i = u % tiles / t.grid_n * t.m, j = u % t.grid_n * t.n;
      const Index rows = std::min(t.m, m - i), cols = std::min(t.n, n - j);
      const BatchOffsets at = offsets_of(axes, u / tiles);
      Out* out = c + at.c + i * ldc + j;
      tile<In, Out>(rows, cols, k, C(alpha), shifted(a, at.a, i, 0), shifted(b, at.b, 0, j), C(beta), out, ldc, engine);
    }
  });
}

template <class In, class Out>
void gemm(Index m, Index n, Index k, double alpha, MatrixView<In> a, MatrixView<In> b, double beta, Out* c, Index ldc,
          Engine engine) {
  gemm_batched({}, m, n, k, alpha, a, b, beta, c, ldc, engine);
}

#define RETORT_GEMM(In, Out)                                                                                          \
  template void gemm(Index, Index, Index, double, MatrixView<In>, MatrixView<In>, double, Out*, Index, Engine);       \
  template void gemm_batched(std::span<const BatchAxis>, Index, Index, Index, double, MatrixView<In>, MatrixView<In>, \
                             double, Out*, Index, Engine)
RETORT_GEMM(double, double);
RETORT_GEMM(float, float);
RETORT_GEMM(BFloat16, BFloat16);
RETORT_GEMM(BFloat16, float);
RETORT_GEMM(Half, Half);
RETORT_GEMM(Half, float);
#undef RETORT_GEMM

}  // namespace retort::cpu
