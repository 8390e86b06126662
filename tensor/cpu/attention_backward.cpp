// tensor/cpu/attention_backward.cpp -- the backward CPU kernel of attention: tiles of weights are recomputed from the
// log-sums (Dao et al. 2022). One task owns one key-value head, so sums have one order for any number of threads.
#include "tensor/cpu/attention.h"
#include "tensor/cpu/tasks.h"
#include "tensor/math.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
using cpu::Range;

/// Inputs in order: q, k, v, mask, log-sums, out, cotangent of out.
struct Operands {
  const Tensor &q, &k, &v, &mask, &log_sums, &out, &cot;
  explicit Operands(std::span<const Tensor> in)
      : q(in[0]), k(in[1]), v(in[2]), mask(in[3]), log_sums(in[4]), out(in[5]), cot(in[6]) {}
};

/// <dy, y> of every query: what the softmax's Jacobian subtracts.
template <class T>
void inner_products(const Operands& in, compute_t<T>* result) {
  using C = compute_t<T>;
  const cpu::RowNest<3> nest(
      {in.log_sums.layout(), cpu::row_starts(in.out.layout(), 3), cpu::row_starts(in.cot.layout(), 3)});
  const std::int64_t n = in.out.shape()[3];
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    const cpu::Scratch<C> buffer(2 * n);
    nest.walk(begin, end, [&](const auto& at) {
      const C* y = cpu::load_row(in.out.data<T>() + at[1], n, in.out.strides()[3], buffer.data());
      const C* dy = cpu::load_row(in.cot.data<T>() + at[2], n, in.cot.strides()[3], buffer.data() + n);
      result[at[0]] = cpu::lane_sum<C>(n, [=](std::int64_t i) { return y[i] * dy[i]; });
    });
  });
}

/// Where dq is summed over blocks of keys: in the output itself, or in f32 scratch for 16-bit data.
template <class T>
struct QueryGradient {
  using C = compute_t<T>;
  const Tensor& dq;
  C* scratch;  ///< [B, H, T, D]; null: in place

  C* rows(std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t& ld) const {
    const Shape& shape = dq.shape();
    if constexpr (std::is_same_v<T, C>) {
      ld = dq.strides()[2];
      return dq.mutable_data<T>() + b * dq.strides()[0] + h * dq.strides()[1] + first * ld;
    } else {
      ld = shape[3];
      return scratch + ((b * shape[1] + h) * shape[2] + first) * ld;
    }
  }
  void clear(std::int64_t b, std::int64_t h) const {
    std::int64_t ld;
    C* const p = rows(b, h, 0, ld);
    for (std::int64_t i = 0; i < dq.shape()[2]; ++i) std::fill_n(p + i * ld, dq.shape()[3], C(0));
  }
  void finish(std::int64_t b, std::int64_t h) const {
    if constexpr (!std::is_same_v<T, C>) {
      std::int64_t ld;
      const C* p = rows(b, h, 0, ld);
      T* const out = dq.mutable_data<T>() + b * dq.strides()[0] + h * dq.strides()[1];
      for (std::int64_t i = 0; i < dq.shape()[2]; ++i)
        cpu::store_row(p + i * ld, out + i * dq.strides()[2], dq.shape()[3], dq.strides()[3]);
    }
  }
};

template <class T>
class Backward {
  using C = compute_t<T>;

 public:
  explicit Backward(const KernelCall& call)
      : in_(call.in),
        dk_(call.out[1]),
        dv_(call.out[2]),
        attrs_(call.attrs.as<AttentionAttrs>()),
        shape_(in_.q, in_.k, in_.v, attrs_),
        mask_(in_.mask, shape_),
        inner_(reinterpret_cast<C*>(call.scratch)),
        dq_{call.out[0], inner_ + in_.log_sums.numel()} {}

  void run() const {
    inner_products<T>(in_, inner_);
    cpu::parallel_tasks(shape_.batch * shape_.kv_heads, [&](std::int64_t task) {
      const std::int64_t b = task / shape_.kv_heads, kv = task % shape_.kv_heads,
                         group = shape_.heads / shape_.kv_heads;
      for (std::int64_t h = kv * group; h < (kv + 1) * group; ++h) dq_.clear(b, h);
      const Tiles tiles(shape_);
      for (std::int64_t at = 0; at < shape_.keys; at += cpu::kKeyBlock)
        key_block(b, kv, {at, std::min(shape_.keys, at + cpu::kKeyBlock)}, tiles);
      for (std::int64_t h = kv * group; h < (kv + 1) * group; ++h) dq_.finish(b, h);
    });
  }

 private:
  /// Working memory of one task.
  struct Tiles {
    cpu::Scratch<C> q, k, v, cot, weights, slopes, dk, dv;
    explicit Tiles(const cpu::AttentionShape& s)
        : q(cpu::kQueryBlock * s.width),
          k(cpu::kKeyBlock * s.width),
          v(cpu::kKeyBlock * s.value_width),
          cot(cpu::kQueryBlock * s.value_width),
          weights(cpu::kQueryBlock * cpu::kKeyBlock),
          slopes(cpu::kQueryBlock * cpu::kKeyBlock),
          dk(cpu::kKeyBlock * s.width),
          dv(cpu::kKeyBlock * s.value_width) {}
  };

  /// dk and dv of one block of keys, and its share of every dq.
  void key_block(std::int64_t b, std::int64_t kv, Range keys, const Tiles& tiles) const {
    const auto k = cpu::load_block<T>(in_.k, b, kv, keys, tiles.k.data());
    const auto v = cpu::load_block<T>(in_.v, b, kv, keys, tiles.v.data());
    std::fill_n(tiles.dk.data(), keys.size() * shape_.width, C(0));
    std::fill_n(tiles.dv.data(), keys.size() * shape_.value_width, C(0));
    const std::int64_t group = shape_.heads / shape_.kv_heads;
    for (std::int64_t h = kv * group; h < (kv + 1) * group; ++h)
      for (std::int64_t at = 0; at < shape_.queries; at += cpu::kQueryBlock) {
        const Range queries{at, std::min(shape_.queries, at + cpu::kQueryBlock)};
        const Range seen = shape_.visible(queries.begin, queries.end - 1);
        const Range both{std::max(keys.begin, seen.begin), std::min(keys.end, seen.end)};
        const std::int64_t skipped = both.begin - keys.begin;
        if (both.size() > 0)
          tile(b, h, queries,
               {both, k.from(skipped), v.from(skipped), tiles.dk.data() + skipped * shape_.width,
                tiles.dv.data() + skipped * shape_.value_width},
               tiles);
      }
    store(dk_, b, kv, keys, tiles.dk.data(), shape_.width);
    store(dv_, b, kv, keys, tiles.dv.data(), shape_.value_width);
  }

  /// Keys of one tile with their values, and where their gradients are summed.
  struct KeyRows {
    Range range;
    cpu::RowBlock<C> k, v;
    C *dk, *dv;
  };

  void tile(std::int64_t b, std::int64_t h, Range queries, const KeyRows& keys, const Tiles& tiles) const {
    const std::int64_t m = queries.size(), n = keys.range.size();
    const auto engine = cpu::kDefaultEngine;
    const auto q = cpu::load_block<T>(in_.q, b, h, queries, tiles.q.data());
    const auto cot = cpu::load_block<T>(in_.cot, b, h, queries, tiles.cot.data());
    C *const p = tiles.weights.data(), *const ds = tiles.slopes.data();
    cpu::masked_scores(shape_, mask_, attrs_.scale, q, keys.k, b, h, queries, keys.range, p);
    cpu::tile_product(m, n, shape_.value_width, C(1), cot.plain(), keys.v.transposed(), C(0), ds, n, engine);
    const std::int64_t first = (b * shape_.heads + h) * shape_.queries + queries.begin;
    for (std::int64_t i = 0; i < m; ++i) {
      const C shift = cpu::finite_shift(in_.log_sums.data<C>()[first + i]), inner = inner_[first + i];
      C *const row = p + i * n, *const slope = ds + i * n;
      for (std::int64_t j = 0; j < n; ++j) row[j] = exp_fast(row[j] - shift);
      for (std::int64_t j = 0; j < n; ++j) slope[j] = row[j] * (slope[j] - inner);
    }
    const C scale = static_cast<C>(attrs_.scale);
    const cpu::TileOperand<C> weights{p, n, true}, slopes{ds, n, false}, slopes_by_key{ds, n, true};
    cpu::tile_product(n, shape_.value_width, m, C(1), weights, cot.plain(), C(1), keys.dv, shape_.value_width, engine);
    cpu::tile_product(n, shape_.width, m, scale, slopes_by_key, q.plain(), C(1), keys.dk, shape_.width, engine);
    std::int64_t ld;
    C* const dq = dq_.rows(b, h, queries.begin, ld);
    cpu::tile_product(m, shape_.width, n, scale, slopes, keys.k.plain(), C(1), dq, ld, engine);
  }

  static void store(const Tensor& t, std::int64_t b, std::int64_t h, Range rows, const C* values, std::int64_t n) {
    const Strides& s = t.strides();
    for (std::int64_t i = 0; i < rows.size(); ++i)
      cpu::store_row(values + i * n, t.mutable_data<T>() + b * s[0] + h * s[1] + (rows.begin + i) * s[2], n, s[3]);
  }

  const Operands in_;
  const Tensor &dk_, &dv_;
  const AttentionAttrs& attrs_;
  const cpu::AttentionShape shape_;
  const cpu::ScoreMask mask_;
  C* const inner_;
  const QueryGradient<T> dq_;
};

}  // namespace

RETORT_CPU_KERNEL(attention_backward) {
  if (call.in[0].numel() + call.in[1].numel() + call.in[2].numel() == 0) return;
  visit_float(call.in[0].dtype(), [&]<class T>(T) { Backward<T>(call).run(); });
}

}  // namespace retort
