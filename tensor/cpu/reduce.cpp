// tensor/cpu/reduce.cpp -- CPU kernels of reductions: fixed block sizes and a fixed order of summation, whatever the
// number of threads.
#include <array>
#include <vector>

#include "tensor/attrs.h"
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

/// Sum of n elements at a stride: sixteen running sums, folded pairwise, so that the error grows with n/16 at most.
template <class T>
compute_t<T> sum_run(const T* p, std::int64_t n, std::int64_t stride) {
  using C = compute_t<T>;
  std::array<C, 16> lane{};
  std::int64_t i = 0;
  if (stride == 1)
    for (; i + 16 <= n; i += 16)
      for (std::size_t k = 0; k < 16; ++k) lane[k] += static_cast<C>(p[i + static_cast<std::int64_t>(k)]);
  else
    for (; i + 16 <= n; i += 16)
      for (std::size_t k = 0; k < 16; ++k) lane[k] += static_cast<C>(p[(i + static_cast<std::int64_t>(k)) * stride]);
  for (std::size_t k = 0; i < n; ++i, ++k) lane[k] += static_cast<C>(p[i * stride]);
  for (std::size_t width = 8; width > 0; width /= 2)
    for (std::size_t k = 0; k < width; ++k) lane[k] += lane[k + width];
  return lane[0];
}

/// The input split into kept axes (in the output's order) and reduced axes (slowest first, merged where possible).
struct Split {
  Layout kept, reduced;
};
Split split(const Layout& in, std::uint32_t axes) {
  Split s;
  s.kept.offset = 0;
  std::array<int, kMaxRank> order{};
  int n = 0;
  for (int a = 0; a < in.shape.rank(); ++a) {
    if (!(axes >> a & 1u)) {
      s.kept.shape.push_back(in.shape[a]);
      s.kept.strides.push_back(in.strides[a]);
    } else if (in.shape[a] != 1) {
      int at = n++;
      for (; at > 0 && in.strides[order[static_cast<std::size_t>(at - 1)]] < in.strides[a]; --at)
        order[static_cast<std::size_t>(at)] = order[static_cast<std::size_t>(at - 1)];
      order[static_cast<std::size_t>(at)] = a;
    }
  }
  for (int i = 0; i < n; ++i) {
    const int a = order[static_cast<std::size_t>(i)];
    const int last = s.reduced.shape.rank() - 1;
    if (last >= 0 && s.reduced.strides[last] == in.strides[a] * in.shape[a]) {
      s.reduced.shape[last] *= in.shape[a];
      s.reduced.strides[last] = in.strides[a];
    } else {
      s.reduced.shape.push_back(in.shape[a]);
      s.reduced.strides.push_back(in.strides[a]);
    }
  }
  if (s.reduced.shape.rank() == 0) {
    s.reduced.shape.push_back(1);
    s.reduced.strides.push_back(1);
  }
  return s;
}

/// Sum over the reduced axes at one kept position: runs of the fastest axis, in chunks of at most 4096 elements.
template <class T>
compute_t<T> sum_at(const T* p, const Layout& reduced) {
  using C = compute_t<T>;
  constexpr std::int64_t kChunk = 4096;
  const int last = reduced.shape.rank() - 1;
  const std::int64_t run = reduced.shape[last], stride = reduced.strides[last];
  Layout outer = reduced;
  outer.shape.erase(last);
  outer.strides.erase(last);
  C total = 0;
  for_each_offset(outer, [&](std::int64_t o) {
    for (std::int64_t i = 0; i < run; i += kChunk)
      total += sum_run(p + o + i * stride, std::min(kChunk, run - i), stride);
  });
  return total;
}

/// Few results from many elements: blocks of the fastest reduced axis are summed in parallel, then in order.
template <class T>
void sum_large(const Tensor& x, const Tensor& y, const Split& s) {
  constexpr std::int64_t kBlock = 1 << 16;
  const int slow = 0;
  const std::int64_t inner = s.reduced.shape.product() / s.reduced.shape[slow];
  const std::int64_t per_block = std::max<std::int64_t>(1, kBlock / std::max<std::int64_t>(inner, 1));
  const std::int64_t n = s.reduced.shape[slow], blocks = (n + per_block - 1) / per_block;
  const T* px = x.data<T>();
  T* py = y.mutable_data<T>();
  std::vector<compute_t<T>> partial(static_cast<std::size_t>(blocks));
  std::int64_t at = 0;
  for_each_offset(s.kept, [&](std::int64_t o) {
    cpu::parallel_for(blocks, 1, [&](std::int64_t b, std::int64_t) {
      Layout part = s.reduced;
      part.shape[slow] = std::min(per_block, n - b * per_block);
      partial[static_cast<std::size_t>(b)] = sum_at(px + o + b * per_block * s.reduced.strides[slow], part);
    });
    compute_t<T> total = 0;
    for (const auto v : partial) total += v;
    py[at++] = static_cast<T>(total);
  });
}

/// The reduced axes are slower than a run of kept elements (bias gradients): rows are added into the run.
template <class T>
void sum_rows(const Tensor& x, const Tensor& y, const Split& s) {
  constexpr std::int64_t kColumns = 256, kRowBlock = 512;
  const std::int64_t columns = s.kept.shape.product();
  const T* px = x.data<T>();
  T* py = y.mutable_data<T>();
  using C = compute_t<T>;
  std::vector<std::int64_t> rows;
  rows.reserve(static_cast<std::size_t>(s.reduced.shape.product()));
  for_each_offset(s.reduced, [&](std::int64_t o) { rows.push_back(o); });
  const auto n_rows = static_cast<std::int64_t>(rows.size());
  const std::int64_t row_blocks = std::max<std::int64_t>(1, (n_rows + kRowBlock - 1) / kRowBlock);
  std::vector<C> partial(static_cast<std::size_t>(row_blocks * columns), C(0));
  const std::int64_t column_blocks = (columns + kColumns - 1) / kColumns;
  cpu::parallel_for(row_blocks * column_blocks, 1, [&](std::int64_t job, std::int64_t) {
    const std::int64_t rb = job / column_blocks, c0 = job % column_blocks * kColumns;
    const std::int64_t c1 = std::min(columns, c0 + kColumns);
    C* acc = partial.data() + rb * columns;
    for (std::int64_t r = rb * kRowBlock; r < std::min(n_rows, (rb + 1) * kRowBlock); ++r) {
      const T* row = px + rows[static_cast<std::size_t>(r)];
      for (std::int64_t c = c0; c < c1; ++c) acc[c] += static_cast<C>(row[c]);
    }
  });
  for (std::int64_t c = 0; c < columns; ++c) {
    C total = 0;
    for (std::int64_t b = 0; b < row_blocks; ++b) total += partial[static_cast<std::size_t>(b * columns + c)];
    py[c] = static_cast<T>(total);
  }
}

template <class T>
void sum_each(const Tensor& x, const Tensor& y, const Split& s) {
  const T* px = x.data<T>();
  T* py = y.mutable_data<T>();
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(y.numel()));
  for_each_offset(s.kept, [&](std::int64_t o) { offsets.push_back(o); });
  const std::int64_t per = std::max<std::int64_t>(1, s.reduced.shape.product());
  cpu::parallel_for(y.numel(), std::max<std::int64_t>(1, 16384 / per), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      py[i] = static_cast<T>(sum_at(px + offsets[static_cast<std::size_t>(i)], s.reduced));
  });
}

}  // namespace

RETORT_CPU_KERNEL(sum) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const Split s = split(x.layout(), call.attrs.as<ReduceAttrs>().axes);
  visit_float(x.dtype(), [&]<class T>(T) {
    if (y.numel() == 0) return;
    const std::int64_t per = s.reduced.shape.product();
    const bool kept_run = Layout{s.kept.shape, s.kept.strides, 0}.contiguous() && y.numel() >= 8;
    if (kept_run && s.reduced.strides.back() != 1)
      sum_rows<T>(x, y, s);
    else if (y.numel() < 8 && per > (1 << 16))
      sum_large<T>(x, y, s);
    else
      sum_each<T>(x, y, s);
  });
}

}  // namespace retort
