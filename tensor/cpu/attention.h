// tensor/cpu/attention.h -- what the forward and backward kernels of attention share: which keys a query sees, blocks
// of q, k, v in compute type, and masked tiles of scores.
#pragma once
#include <limits>

#include "tensor/attrs.h"
#include "tensor/cpu/gemm_kernels.h"
#include "tensor/cpu/rows.h"

namespace retort::cpu {

/// Queries and keys of one tile of scores. Two such tiles and their blocks of q, k, v stay in the second-level cache.
inline constexpr std::int64_t kQueryBlock = 128, kKeyBlock = 256;

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

/// Extents of q [B, H, T, D], k [B, Hk, S, D], v [B, Hk, S, Dv], and who sees whom: query i stands at key position
/// i + S - T, so the last query stands at the last key.
struct AttentionShape {
  std::int64_t batch, heads, kv_heads, queries, keys, width, value_width;
  bool causal;
  std::int64_t window;

  AttentionShape(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionAttrs& attrs)
      : batch(q.shape()[0]),
        heads(q.shape()[1]),
        kv_heads(k.shape()[1]),
        queries(q.shape()[2]),
        keys(k.shape()[2]),
        width(q.shape()[3]),
        value_width(v.shape()[3]),
        causal(attrs.causal),
        window(attrs.window) {}

  /// Keys that some query of [first, last] sees, masks aside.
  Range visible(std::int64_t first, std::int64_t last) const {
    const std::int64_t shift = keys - queries;
    std::int64_t begin = 0, end = keys;
    if (window > 0) {
      begin = std::max<std::int64_t>(0, first + shift - window + 1);
      end = std::min(keys, last + shift + window);
    }
    if (causal) end = std::min(end, last + shift + 1);
    return {std::min(begin, keys), std::max(end, std::min(begin, keys))};
  }
};

/// A row-major block in compute type.
template <class C>
struct RowBlock {
  const C* data;
  std::int64_t ld;
  TileOperand<C> plain() const { return {data, ld, false}; }
  TileOperand<C> transposed() const { return {data, ld, true}; }
  RowBlock from(std::int64_t row) const { return {data + row * ld, ld}; }
};

/// Rows [range) of t[b, h] (rank 4): in place where the dtype and strides allow it, else converted into `buffer`.
template <class T>
RowBlock<compute_t<T>> load_block(const Tensor& t, std::int64_t b, std::int64_t h, Range range, compute_t<T>* buffer) {
  const Strides& s = t.strides();
  const std::int64_t n = t.shape()[3];
  const T* p = t.data<T>() + b * s[0] + h * s[1] + range.begin * s[2];
  if constexpr (std::is_same_v<T, compute_t<T>>)
    if (s[3] == 1 && s[2] >= n) return {p, s[2]};
  for (std::int64_t i = 0; i < range.size(); ++i) {
    const compute_t<T>* row = load_row(p + i * s[2], n, s[3], buffer + i * n);
    if (row != buffer + i * n) std::copy_n(row, n, buffer + i * n);
  }
  return {buffer, n};
}

/// A mask seen as [B, H, T, S]: absent, bool (true: visible) or additive.
class ScoreMask {
 public:
  ScoreMask(const Tensor& mask, const AttentionShape& shape) : mask_(mask) {
    if (mask.defined())
      layout_ = broadcast_layout(mask.layout(), {shape.batch, shape.heads, shape.queries, shape.keys});
  }

  /// Applies the mask to scores of query i against keys [range); -infinity where they are not visible.
  template <class C>
  void apply(C* scores, std::int64_t b, std::int64_t h, std::int64_t i, Range range) const {
    if (!mask_.defined()) return;
    const Strides& s = layout_.strides;
    const std::int64_t at = b * s[0] + h * s[1] + i * s[2] + range.begin * s[3];
    if (mask_.dtype() == DType::boolean) {
      const bool* m = mask_.data<bool>() + at;
      for (std::int64_t j = 0; j < range.size(); ++j)
        scores[j] = m[j * s[3]] ? scores[j] : -std::numeric_limits<C>::infinity();
    } else {
      visit_float(mask_.dtype(), [&]<class T>(T) {
        const T* m = mask_.data<T>() + at;
        for (std::int64_t j = 0; j < range.size(); ++j)
          scores[j] += static_cast<C>(static_cast<compute_t<T>>(m[j * s[3]]));
      });
    }
  }

 private:
  const Tensor& mask_;
  Layout layout_;
};

/// scores = scale q k' for queries x keys of head (b, h), row-major without gaps; -infinity where a key is not visible.
template <class C>
void masked_scores(const AttentionShape& shape, const ScoreMask& mask, double scale, const RowBlock<C>& q,
                   const RowBlock<C>& k, std::int64_t b, std::int64_t h, Range queries, Range keys, C* scores) {
  tile_product(queries.size(), keys.size(), shape.width, static_cast<C>(scale), q.plain(), k.transposed(), C(0), scores,
               keys.size(), kDefaultEngine);
  for (std::int64_t i = queries.begin; i < queries.end; ++i) {
    C* const row = scores + (i - queries.begin) * keys.size();
    const Range seen = shape.visible(i, i);
    mask.apply(row, b, h, i, keys);
    const std::int64_t before = std::clamp<std::int64_t>(seen.begin - keys.begin, 0, keys.size());
    const std::int64_t after = std::clamp<std::int64_t>(seen.end - keys.begin, 0, keys.size());
    std::fill_n(row, before, -std::numeric_limits<C>::infinity());
    std::fill(row + after, row + keys.size(), -std::numeric_limits<C>::infinity());
  }
}

/// -infinity becomes 0: what to subtract from scores that are all -infinity.
template <class C>
C finite_shift(C top) {
  return top == -std::numeric_limits<C>::infinity() ? C(0) : top;
}

}  // namespace retort::cpu
