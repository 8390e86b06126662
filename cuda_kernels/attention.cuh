// cuda_kernels/attention.cuh -- bodies of attention: tiles of 32 x 32 scores live in registers, what they weigh goes
// through shared memory (Dao et al. 2022). A block owns 32 rows of a result, and 128 of its columns at most.
#pragma once
#include "cuda_kernels/attention.h"
#include "cuda_kernels/rows.cuh"

namespace retort::kernels::RETORT_BACKEND {

inline constexpr int kScoreTile = 32;
inline constexpr int kScoreRow = kScoreTile + 1;  ///< padded: rows that are read together meet different banks
inline constexpr int kScorePiece = 4;             ///< rows and columns of a tile per thread
inline constexpr int kScoreSide = kScoreTile / kScorePiece;
inline constexpr unsigned kScoreThreads = kScoreSide * kScoreSide;

/// A tensor [B, heads, rows, columns].
template <class T>
struct HeadsIn {
  In<T> data;
  HeadSteps steps;
  template <class Binder>
  void bind(Binder& binder) {
    bind_argument(binder, data);
  }
};
struct ScoreMask {
  In<bool> visible;
  In<float> bias;
  HeadSteps steps;
  template <class Binder>
  void bind(Binder& binder) {
    bind_argument(binder, visible);
    bind_argument(binder, bias);
  }
};

/// The rows of one head.
template <class T>
struct HeadRows {
  In<T> data;
  std::int64_t row, column, count, width;
};
template <class T>
RETORT_DEVICE HeadRows<T> head_of(const HeadsIn<T>& t, std::int64_t b, std::int64_t h, std::int64_t count,
                                  std::int64_t width) {
  return {t.data + (b * t.steps.batch + h * t.steps.head), t.steps.row, t.steps.column, count, width};
}

struct KeyRange {
  std::int64_t begin, end;
};
/// Keys that some query of [first, last] sees, masks aside.
RETORT_DEVICE KeyRange visible_keys(const AttentionShape& a, std::int64_t first, std::int64_t last) {
  const std::int64_t shift = a.keys - a.queries;
  std::int64_t begin = 0, end = a.keys;
  if (a.window > 0) {
    begin = first + shift - a.window + 1 > 0 ? first + shift - a.window + 1 : 0;
    end = last + shift + a.window < end ? last + shift + a.window : end;
  }
  if (a.causal && last + shift + 1 < end) end = last + shift + 1;
  return {begin, end};
}

/// The score of query i of head (b, h) for key j from their product; -infinity where the key is not seen.
RETORT_DEVICE float masked_score(const AttentionShape& a, const ScoreMask& mask, std::int64_t b, std::int64_t h,
                                 std::int64_t i, std::int64_t j, float product) {
  const float none = -__builtin_inff();
  if (i >= a.queries) return none;
  const KeyRange seen = visible_keys(a, i, i);
  if (j < seen.begin || j >= seen.end) return none;
  const std::int64_t place = b * mask.steps.batch + h * mask.steps.head + i * mask.steps.row + j * mask.steps.column;
  if (mask.visible && !mask.visible[place]) return none;
  const float score = a.scale * product;
  return mask.bias ? score + mask.bias[place] : score;
}

/// tile [32, 32] = rows from `first` on, columns from `column` on; rows beyond the last are 0, columns are left out.
template <class T>
RETORT_DEVICE void load_head_tile(Shared<float> tile, const HeadRows<T>& from, std::int64_t first,
                                  std::int64_t column) {
  const int t = static_cast<int>(thread_index().x), c = t % kScoreTile;
  if (column + c >= from.width) return;
  for (int r = t / kScoreTile; r < kScoreTile; r += static_cast<int>(kScoreThreads) / kScoreTile)
    tile[r * kScoreRow + c] =
        first + r < from.count ? at(from.data, (first + r) * from.row + (column + c) * from.column) : 0.0f;
}

/// This thread's rows and columns of a tile: four from each on.
struct TilePlace {
  int row, column;
};
RETORT_DEVICE TilePlace tile_place() {
  const int t = static_cast<int>(thread_index().x);
  return {t / kScoreSide * kScorePiece, t % kScoreSide * kScorePiece};
}

/// sum [4][4] = <row r of left, row c of right>, in order of the columns.
template <class T>
RETORT_DEVICE void tile_products(const HeadRows<T>& left, std::int64_t first_left, const HeadRows<T>& right,
                                 std::int64_t first_right, Shared<float> left_tile, Shared<float> right_tile,
                                 float (&sum)[kScorePiece][kScorePiece]) {
  const TilePlace place = tile_place();
  RETORT_UNROLL
  for (int i = 0; i < kScorePiece; ++i) RETORT_UNROLL
  for (int j = 0; j < kScorePiece; ++j) sum[i][j] = 0;
  for (std::int64_t column = 0; column < left.width; column += kScoreTile) {
    sync_block();
    load_head_tile(left_tile, left, first_left, column);
    load_head_tile(right_tile, right, first_right, column);
    sync_block();
    const int depth = static_cast<int>(left.width - column < kScoreTile ? left.width - column : kScoreTile);
    for (int d = 0; d < depth; ++d) {
      float x[kScorePiece], w[kScorePiece];
      RETORT_UNROLL
      for (int i = 0; i < kScorePiece; ++i) {
        x[i] = left_tile[(place.row + i) * kScoreRow + d];
        w[i] = right_tile[(place.column + i) * kScoreRow + d];
      }
      RETORT_UNROLL
      for (int i = 0; i < kScorePiece; ++i) RETORT_UNROLL
      for (int j = 0; j < kScorePiece; ++j) sum[i][j] = fmaf(x[i], w[j], sum[i][j]);
    }
  }
}

/// What a thread sums of a result: four rows, and four columns of each of its tiles of 32.
template <int kTiles>
struct TileSums {
  float value[kScorePiece][kTiles * kScorePiece] = {};

  /// += weights [32, n] rows [n, columns from `column` on]; the rows begin at `first`.
  template <class T>
  RETORT_DEVICE void add(Shared<float> weights, const HeadRows<T>& rows, std::int64_t first, std::int64_t column,
                         Shared<float> tile) {
    const TilePlace place = tile_place();
    const int n = static_cast<int>(rows.count - first < kScoreTile ? rows.count - first : kScoreTile);
    RETORT_UNROLL
    for (int p = 0; p < kTiles; ++p) {
      if (column + p * kScoreTile >= rows.width) break;
      sync_block();
      load_head_tile(tile, rows, first, column + p * kScoreTile);
      sync_block();
      // Columns beyond the width are never loaded, and nobody stores what a thread sums for them.
      if (column + p * kScoreTile + place.column >= rows.width) continue;
      for (int c = 0; c < n; ++c) {
        float x[kScorePiece], w[kScorePiece];
        RETORT_UNROLL
        for (int i = 0; i < kScorePiece; ++i) {
          x[i] = weights[(place.row + i) * kScoreRow + c];
          w[i] =
              column + p * kScoreTile + place.column + i < rows.width ? tile[c * kScoreRow + place.column + i] : 0.0f;
        }
        RETORT_UNROLL
        for (int i = 0; i < kScorePiece; ++i) RETORT_UNROLL
        for (int j = 0; j < kScorePiece; ++j)
          value[i][p * kScorePiece + j] = fmaf(x[i], w[j], value[i][p * kScorePiece + j]);
      }
    }
  }

  /// Rows from `first` on of head (b, h), each times its factor.
  template <class T>
  RETORT_DEVICE void store(Out<T> y, const HeadSteps& steps, std::int64_t b, std::int64_t h, std::int64_t first,
                           std::int64_t count, std::int64_t column, std::int64_t width,
                           const float (&factor)[kScorePiece]) const {
    const TilePlace place = tile_place();
    RETORT_UNROLL
    for (int i = 0; i < kScorePiece; ++i) RETORT_UNROLL
    for (int j = 0; j < kTiles * kScorePiece; ++j) {
      const std::int64_t r = first + place.row + i;
      const std::int64_t c = column + j / kScorePiece * kScoreTile + place.column + j % kScorePiece;
      if (r < count && c < width)
        y[b * steps.batch + h * steps.head + r * steps.row + c * steps.column] = narrow<T>(value[i][j] * factor[i]);
    }
  }
};

/// The join over the eight threads that share rows of a tile.
template <class Join>
RETORT_DEVICE float join_row(float v, Join join) {
  for (unsigned step = kScoreSide / 2; step > 0; step /= 2) v = join(v, shuffle_xor(kFullWarp, v, step));
  return v;
}

/// Block (x, g): 32 queries of a head, group g of the values' columns. The running maximum and sum of a row are the
/// same in the eight threads that share it.
template <class T, int kTiles>
RETORT_KERNEL void attention_queries(AttentionShape a, HeadsIn<T> q, HeadsIn<T> k, HeadsIn<T> v, ScoreMask mask,
                                     Out<T> y, HeadSteps y_steps, Out<float> log_sums) {
  RETORT_SHARED(float, left, kScoreTile* kScoreRow);
  RETORT_SHARED(float, right, kScoreTile* kScoreRow);
  RETORT_SHARED(float, weights, kScoreTile* kScoreRow);
  const std::int64_t tiles = (a.queries + kScoreTile - 1) / kScoreTile, head = block_index().x / tiles;
  const std::int64_t b = head / a.heads, h = head % a.heads, kv = h / (a.heads / a.kv_heads);
  const std::int64_t first = block_index().x % tiles * kScoreTile;
  const std::int64_t column = std::int64_t{block_index().y} * kTiles * kScoreTile;
  const std::int64_t last = first + kScoreTile < a.queries ? first + kScoreTile - 1 : a.queries - 1;
  const HeadRows<T> queries = head_of(q, b, h, a.queries, a.width), keys = head_of(k, b, kv, a.keys, a.width),
                    values = head_of(v, b, kv, a.keys, a.value_width);
  const TilePlace place = tile_place();
  float top[kScorePiece], total[kScorePiece] = {};
  RETORT_UNROLL
  for (int i = 0; i < kScorePiece; ++i) top[i] = -__builtin_inff();
  TileSums<kTiles> sums;
  const KeyRange seen = visible_keys(a, first, last);
  for (std::int64_t key = seen.begin; key < seen.end; key += kScoreTile) {
    float score[kScorePiece][kScorePiece];
    tile_products(queries, first, keys, key, left, right, score);
    RETORT_UNROLL
    for (int i = 0; i < kScorePiece; ++i) {
      float highest = top[i];
      RETORT_UNROLL
      for (int j = 0; j < kScorePiece; ++j) {
        score[i][j] = masked_score(a, mask, b, h, first + place.row + i, key + place.column + j, score[i][j]);
        highest = MaxJoin{}(highest, score[i][j]);
      }
      highest = join_row(highest, MaxJoin{});
      const float shift = finite_shift(highest), factor = exp_fast(top[i] - shift);
      float sum = 0;
      RETORT_UNROLL
      for (int j = 0; j < kScorePiece; ++j) {
        const float weight = exp_fast(score[i][j] - shift);
        weights[(place.row + i) * kScoreRow + place.column + j] = weight;
        sum += weight;
      }
      total[i] = fmaf(total[i], factor, join_row(sum, AddJoin{}));
      top[i] = highest;
      RETORT_UNROLL
      for (int j = 0; j < kTiles * kScorePiece; ++j) sums.value[i][j] *= factor;
    }
    sums.add(weights, values, key, column, right);
  }
  float factor[kScorePiece];
  RETORT_UNROLL
  for (int i = 0; i < kScorePiece; ++i) factor[i] = total[i] == 0 ? 0.0f : 1.0f / total[i];
  sums.store(y, y_steps, b, h, first, a.queries, column, a.value_width, factor);
  if (column != 0 || place.column != 0) return;
  RETORT_UNROLL
  for (int i = 0; i < kScorePiece; ++i)
    if (first + place.row + i < a.queries)
      log_sums[head * a.queries + first + place.row + i] = top[i] + log_fast(total[i]);
}

/// inner [B, H, T] = <y, dy> of each query: what the softmax's Jacobian subtracts. A block for each.
template <class T>
RETORT_KERNEL void attention_inner(AttentionShape a, HeadsIn<T> y, HeadsIn<T> dy, Out<float> inner) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t i = block_index().x % a.queries, head = block_index().x / a.queries;
  const HeadRows<T> result = head_of(y, head / a.heads, head % a.heads, a.queries, a.value_width),
                    slope = head_of(dy, head / a.heads, head % a.heads, a.queries, a.value_width);
  const float sum = row_sum(a.value_width, partial, [&](std::int64_t c) {
    return at(result.data, i * result.row + c * result.column) * at(slope.data, i * slope.row + c * slope.column);
  });
  if (thread_index().x == 0) inner[block_index().x] = sum;
}

/// The weight of a score, by its query's log-sum. Queries that see nothing have -infinity for both.
RETORT_DEVICE float recomputed_weight(float score, float log_sum) { return exp_fast(score - finite_shift(log_sum)); }

/// Block (x, g): dq of 32 queries of a head, group g of its columns.
template <class T, int kTiles>
RETORT_KERNEL void attention_query_slopes(AttentionShape a, HeadsIn<T> q, HeadsIn<T> k, HeadsIn<T> v, ScoreMask mask,
                                          HeadsIn<T> dy, In<float> log_sums, In<float> inner, Out<T> dq,
                                          HeadSteps dq_steps) {
  RETORT_SHARED(float, left, kScoreTile* kScoreRow);
  RETORT_SHARED(float, right, kScoreTile* kScoreRow);
  RETORT_SHARED(float, weights, kScoreTile* kScoreRow);
  const std::int64_t tiles = (a.queries + kScoreTile - 1) / kScoreTile, head = block_index().x / tiles;
  const std::int64_t b = head / a.heads, h = head % a.heads, kv = h / (a.heads / a.kv_heads);
  const std::int64_t first = block_index().x % tiles * kScoreTile;
  const std::int64_t column = std::int64_t{block_index().y} * kTiles * kScoreTile;
  const std::int64_t last = first + kScoreTile < a.queries ? first + kScoreTile - 1 : a.queries - 1;
  const HeadRows<T> queries = head_of(q, b, h, a.queries, a.width), keys = head_of(k, b, kv, a.keys, a.width),
                    values = head_of(v, b, kv, a.keys, a.value_width),
                    slopes = head_of(dy, b, h, a.queries, a.value_width);
  const TilePlace place = tile_place();
  float log_sum[kScorePiece] = {}, level[kScorePiece] = {};
  for (int i = 0; i < kScorePiece; ++i)
    if (first + place.row + i < a.queries) {
      log_sum[i] = log_sums[head * a.queries + first + place.row + i];
      level[i] = inner[head * a.queries + first + place.row + i];
    }
  TileSums<kTiles> sums;
  const KeyRange seen = visible_keys(a, first, last);
  for (std::int64_t key = seen.begin; key < seen.end; key += kScoreTile) {
    float score[kScorePiece][kScorePiece], slope[kScorePiece][kScorePiece];
    tile_products(queries, first, keys, key, left, right, score);
    tile_products(slopes, first, values, key, left, right, slope);
    RETORT_UNROLL
    for (int i = 0; i < kScorePiece; ++i) RETORT_UNROLL
    for (int j = 0; j < kScorePiece; ++j) {
      const float s = masked_score(a, mask, b, h, first + place.row + i, key + place.column + j, score[i][j]);
      weights[(place.row + i) * kScoreRow + place.column + j] =
          recomputed_weight(s, log_sum[i]) * (slope[i][j] - level[i]);
    }
    sums.add(weights, keys, key, column, right);
  }
  const float factor[kScorePiece] = {a.scale, a.scale, a.scale, a.scale};
  sums.store(dq, dq_steps, b, h, first, a.queries, column, a.width, factor);
}

/// Block (x, g): dv (kValues) or dk of 32 keys of a key-value head, group g of its columns, summed over the heads that
/// read it and the queries that see it.
template <class T, int kTiles, bool kValues>
RETORT_KERNEL void attention_key_slopes(AttentionShape a, HeadsIn<T> q, HeadsIn<T> k, HeadsIn<T> v, ScoreMask mask,
                                        HeadsIn<T> dy, In<float> log_sums, In<float> inner, Out<T> result,
                                        HeadSteps result_steps) {
  RETORT_SHARED(float, left, kScoreTile* kScoreRow);
  RETORT_SHARED(float, right, kScoreTile* kScoreRow);
  RETORT_SHARED(float, weights, kScoreTile* kScoreRow);
  const std::int64_t tiles = (a.keys + kScoreTile - 1) / kScoreTile, head = block_index().x / tiles;
  const std::int64_t b = head / a.kv_heads, kv = head % a.kv_heads, group = a.heads / a.kv_heads;
  const std::int64_t first = block_index().x % tiles * kScoreTile, end = first + kScoreTile;
  const std::int64_t column = std::int64_t{block_index().y} * kTiles * kScoreTile;
  const HeadRows<T> keys = head_of(k, b, kv, a.keys, a.width), values = head_of(v, b, kv, a.keys, a.value_width);
  const TilePlace place = tile_place();
  TileSums<kTiles> sums;
  for (std::int64_t h = kv * group; h < (kv + 1) * group; ++h) {
    const HeadRows<T> queries = head_of(q, b, h, a.queries, a.width),
                      slopes = head_of(dy, b, h, a.queries, a.value_width);
    for (std::int64_t query = 0; query < a.queries; query += kScoreTile) {
      const std::int64_t last = query + kScoreTile < a.queries ? query + kScoreTile - 1 : a.queries - 1;
      const KeyRange seen = visible_keys(a, query, last);
      if (seen.begin >= end || seen.end <= first) continue;  // the same for the whole block
      float score[kScorePiece][kScorePiece], slope[kScorePiece][kScorePiece];
      tile_products(keys, first, queries, query, left, right, score);
      if (!kValues) tile_products(values, first, slopes, query, left, right, slope);
      RETORT_UNROLL
      for (int j = 0; j < kScorePiece; ++j) {
        const std::int64_t i = query + place.column + j, line = (b * a.heads + h) * a.queries + i;
        const float log_sum = i < a.queries ? static_cast<float>(log_sums[line]) : 0.0f;
        const float level = !kValues && i < a.queries ? static_cast<float>(inner[line]) : 0.0f;
        RETORT_UNROLL
        for (int r = 0; r < kScorePiece; ++r) {
          const float s = masked_score(a, mask, b, h, i, first + place.row + r, score[r][j]);
          const float weight = recomputed_weight(s, log_sum);
          weights[(place.row + r) * kScoreRow + place.column + j] = kValues ? weight : weight * (slope[r][j] - level);
        }
      }
      sums.add(weights, kValues ? slopes : queries, query, column, right);
    }
  }
  const float by = kValues ? 1.0f : a.scale;
  const float factor[kScorePiece] = {by, by, by, by};
  sums.store(result, result_steps, b, kv, first, a.keys, column, kValues ? a.value_width : a.width, factor);
}

}  // namespace retort::kernels::RETORT_BACKEND
