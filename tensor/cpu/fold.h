// tensor/cpu/fold.h -- reductions over axes: a fold (identity, join) over any layout, with block sizes and an order of
// joining that do not depend on the number of threads.
#pragma once
#include <array>
#include <vector>

#include "tensor/cpu/loops.h"

namespace retort::cpu {

// A fold F has: Acc; Acc identity() const; Acc of(T) const; Acc join(Acc, Acc) const, associative up to rounding;
// Acc finish(Acc) const, once per result.

/// A layout split into kept axes (in the output's order) and reduced axes (slowest first), both merged where possible.
struct FoldPlan {
  Layout kept, reduced;
  Layout outer;                    ///< the reduced axes but the fastest
  std::int64_t run = 1, step = 1;  ///< extent and stride of the fastest reduced axis
  std::int64_t kept_count = 1, reduced_count = 1;

  FoldPlan(const Layout& in, std::uint32_t axes) {
    std::array<int, kMaxRank> order{};
    int n = 0;
    for (int a = 0; a < in.shape.rank(); ++a) {
      if (!(axes >> a & 1u)) {
        append(kept, in.shape[a], in.strides[a]);
      } else if (in.shape[a] != 1) {
        int at = n++;
        for (; at > 0 && in.strides[order[static_cast<std::size_t>(at - 1)]] < in.strides[a]; --at)
          order[static_cast<std::size_t>(at)] = order[static_cast<std::size_t>(at - 1)];
        order[static_cast<std::size_t>(at)] = a;
      }
    }
    for (int i = 0; i < n; ++i) {
      const int a = order[static_cast<std::size_t>(i)];
      append(reduced, in.shape[a], in.strides[a]);
    }
    if (reduced.shape.rank() == 0) append(reduced, 1, 1);
    kept_count = kept.numel();
    reduced_count = reduced.numel();
    run = reduced.shape.back();
    step = reduced.strides.back();
    outer = reduced;
    outer.shape.erase(outer.shape.rank() - 1);
    outer.strides.erase(outer.strides.rank() - 1);
  }

 private:
  static void append(Layout& to, std::int64_t extent, std::int64_t stride) {
    const int last = to.shape.rank() - 1;
    if (last >= 0 && to.strides[last] == stride * extent) {
      to.shape[last] *= extent;
      to.strides[last] = stride;
    } else {
      to.shape.push_back(extent);
      to.strides.push_back(stride);
    }
  }
};

/// Folds n elements at a stride: sixteen running values, joined pairwise, so that a sum's error grows with n/16.
template <class T, class F>
typename F::Acc fold_run(const F& f, const T* p, std::int64_t n, std::int64_t stride) {
  using Acc = typename F::Acc;
  std::array<Acc, 16> lane;
  lane.fill(f.identity());
  std::int64_t i = 0;
  if (stride == 1)
    for (; i + 16 <= n; i += 16) {
      const T* q = p + i;
#pragma omp simd
      for (std::size_t k = 0; k < 16; ++k) lane[k] = f.join(lane[k], f.of(q[k]));
    }
  else
    for (; i + 16 <= n; i += 16)
      for (std::size_t k = 0; k < 16; ++k)
        lane[k] = f.join(lane[k], f.of(p[(i + static_cast<std::int64_t>(k)) * stride]));
  for (std::size_t k = 0; i < n; ++i, ++k) lane[k] = f.join(lane[k], f.of(p[i * stride]));
  for (std::size_t width = 8; width > 0; width /= 2)
    for (std::size_t k = 0; k < width; ++k) lane[k] = f.join(lane[k], lane[k + width]);
  return lane[0];
}

/// Folds the reduced axes from one kept position on: runs of the fastest axis, in chunks of at most 4096 elements.
template <class T, class F>
typename F::Acc fold_at(const F& f, const T* p, const FoldPlan& plan) {
  constexpr std::int64_t kChunk = 4096;
  typename F::Acc total = f.identity();
  const auto runs = [&](std::int64_t o) {
    for (std::int64_t i = 0; i < plan.run; i += kChunk)
      total = f.join(total, fold_run(f, p + o + i * plan.step, std::min(kChunk, plan.run - i), plan.step));
  };
  if (plan.outer.shape.rank() == 0)
    runs(0);
  else
    for_each_offset(plan.outer, runs);
  return total;
}

/// Calls each(i, offset of kept position i) in parallel.
template <class Each>
void for_each_kept(const FoldPlan& plan, Each&& each) {
  const std::int64_t grain = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(plan.reduced_count, 1));
  if (plan.kept.shape.rank() <= 1) {
    const std::int64_t stride = plan.kept.shape.rank() == 1 ? plan.kept.strides[0] : 0;
    parallel_for(plan.kept_count, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) each(i, i * stride);
    });
    return;
  }
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(plan.kept_count));
  for_each_offset(plan.kept, [&](std::int64_t o) { offsets.push_back(o); });
  parallel_for(plan.kept_count, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) each(i, offsets[static_cast<std::size_t>(i)]);
  });
}

/// Few results from many elements: blocks of the slowest reduced axis are folded in parallel, then joined in order.
template <class T, class Out, class F>
void fold_large(const F& f, const T* x, Out* y, const FoldPlan& plan) {
  constexpr std::int64_t kBlock = 1 << 16;
  const std::int64_t n = plan.reduced.shape[0];
  const std::int64_t per_block = std::max<std::int64_t>(1, kBlock / std::max<std::int64_t>(plan.reduced_count / n, 1));
  const std::int64_t blocks = (n + per_block - 1) / per_block;
  std::vector<typename F::Acc> partial(static_cast<std::size_t>(blocks));
  std::int64_t at = 0;
  for_each_offset(plan.kept, [&](std::int64_t o) {
    parallel_for(blocks, 1, [&](std::int64_t b, std::int64_t) {
      FoldPlan part = plan;
      const std::int64_t count = std::min(per_block, n - b * per_block);
      (part.outer.shape.rank() == 0 ? part.run : part.outer.shape[0]) = count;
      partial[static_cast<std::size_t>(b)] = fold_at(f, x + o + b * per_block * plan.reduced.strides[0], part);
    });
    typename F::Acc total = f.identity();
    for (const auto v : partial) total = f.join(total, v);
    y[at++] = static_cast<Out>(f.finish(total));
  });
}

/// The kept elements lie side by side and the reduced axes are slower (bias gradients): whole rows are joined.
template <class T, class Out, class F>
void fold_rows(const F& f, const T* x, Out* y, const FoldPlan& plan) {
  using Acc = typename F::Acc;
  constexpr std::int64_t kColumns = 256, kRowBlock = 512;
  const std::int64_t columns = plan.kept_count;
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(plan.reduced_count));
  for_each_offset(plan.reduced, [&](std::int64_t o) { rows.push_back(o); });
  const auto n_rows = static_cast<std::int64_t>(rows.size());
  const std::int64_t row_blocks = std::max<std::int64_t>(1, (n_rows + kRowBlock - 1) / kRowBlock);
  const std::int64_t column_blocks = (columns + kColumns - 1) / kColumns;
  std::vector<Acc> partial(static_cast<std::size_t>(row_blocks > 1 ? row_blocks * columns : 0));
  parallel_for(row_blocks * column_blocks, 1, [&](std::int64_t job, std::int64_t) {
    const std::int64_t rb = job / column_blocks, c0 = job % column_blocks * kColumns;
    const std::int64_t count = std::min(columns - c0, kColumns);
    std::array<Acc, kColumns> acc;
    acc.fill(f.identity());
    for (std::int64_t r = rb * kRowBlock; r < std::min(n_rows, (rb + 1) * kRowBlock); ++r) {
      const T* row = x + rows[static_cast<std::size_t>(r)] + c0;
      for (std::int64_t c = 0; c < count; ++c) {
        Acc& a = acc[static_cast<std::size_t>(c)];
        a = f.join(a, f.of(row[c]));
      }
    }
    if (row_blocks > 1)
      std::copy_n(acc.begin(), count, partial.begin() + rb * columns + c0);
    else
      for (std::int64_t c = 0; c < count; ++c) y[c0 + c] = static_cast<Out>(f.finish(acc[static_cast<std::size_t>(c)]));
  });
  if (row_blocks == 1) return;
  parallel_for(columns, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      Acc total = f.identity();
      for (std::int64_t b = 0; b < row_blocks; ++b)
        total = f.join(total, partial[static_cast<std::size_t>(b * columns + c)]);
      y[c] = static_cast<Out>(f.finish(total));
    }
  });
}

/// y = the fold of x over the axes of the mask; y is row-major.
template <class T, class Out, class F>
void fold(const F& f, const Tensor& x, const Tensor& y, std::uint32_t axes) {
  if (y.numel() == 0) return;
  const FoldPlan plan(x.layout(), axes);
  Out* py = y.mutable_data<Out>();
  if (plan.reduced_count == 0) {
    std::fill_n(py, y.numel(), static_cast<Out>(f.finish(f.identity())));
    return;
  }
  const T* px = x.data<T>();
  const bool side_by_side = plan.kept.shape.rank() == 1 && plan.kept.strides[0] == 1 && plan.kept_count >= 8;
  if (side_by_side && plan.step != 1)
    fold_rows<T, Out>(f, px, py, plan);
  else if (plan.kept_count < 8 && plan.reduced_count > (1 << 16))
    fold_large<T, Out>(f, px, py, plan);
  else
    for_each_kept(
        plan, [&](std::int64_t i, std::int64_t o) { py[i] = static_cast<Out>(f.finish(fold_at(f, px + o, plan))); });
}

}  // namespace retort::cpu
