// tensor/cpu/attention.cpp -- the forward CPU kernel of attention: softmax over keys accumulated block by block
// (Milakov, Gimelshein 2018; Dao et al. 2022), so that scores are never stored.
#include "tensor/cpu/attention.h"

#include "tensor/cpu/tasks.h"
#include "tensor/math.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
using cpu::Range;

/// One block of queries of one head: running maximum, sum and weighted values of every query.
template <class C>
struct Accumulator {
  C *top, *total, *value;
  std::int64_t width;

  Accumulator(C* buffer, std::int64_t queries, std::int64_t value_width)
      : top(buffer), total(top + queries), value(total + queries), width(value_width) {
    std::fill_n(top, queries, -std::numeric_limits<C>::infinity());
    std::fill_n(total, queries + queries * width, C(0));
  }
  static std::int64_t elements(std::int64_t queries, std::int64_t value_width) { return queries * (2 + value_width); }

  /// Turns the scores of query i into weights relative to its new maximum, and what was summed so far likewise.
  void absorb(std::int64_t i, C* scores, std::int64_t n) const {
    const C highest = std::max(top[i], cpu::row_max(scores, n)), shift = cpu::finite_shift(highest);
    const C factor = exp_fast(top[i] - shift);
    for (std::int64_t j = 0; j < n; ++j) scores[j] = exp_fast(scores[j] - shift);
    total[i] = total[i] * factor + cpu::lane_sum<C>(n, [scores](std::int64_t j) { return scores[j]; });
    top[i] = highest;
    C* const v = value + i * width;
    for (std::int64_t d = 0; d < width; ++d) v[d] *= factor;
  }
};

template <class T>
void attend(const KernelCall& call) {
  using C = compute_t<T>;
  const Tensor &q = call.in[0], &k = call.in[1], &v = call.in[2], &out = call.out[0];
  const auto& attrs = call.attrs.as<AttentionAttrs>();
  const cpu::AttentionShape shape(q, k, v, attrs);
  const cpu::ScoreMask mask(call.in[3], shape);
  C* const log_sums = call.out[1].mutable_data<C>();
  const std::int64_t blocks = (shape.queries + cpu::kQueryBlock - 1) / cpu::kQueryBlock;
  const std::int64_t group = shape.heads / std::max<std::int64_t>(shape.kv_heads, 1);
  cpu::parallel_tasks(shape.batch * shape.heads * blocks, [&](std::int64_t task) {
    const std::int64_t b = task / blocks / shape.heads, h = task / blocks % shape.heads;
    const std::int64_t first = task % blocks * cpu::kQueryBlock;
    const Range queries{first, std::min(shape.queries, first + cpu::kQueryBlock)};
    const cpu::Scratch<C> q_copy(cpu::kQueryBlock * shape.width), k_copy(cpu::kKeyBlock * shape.width),
        v_copy(cpu::kKeyBlock * shape.value_width), scores(cpu::kQueryBlock * cpu::kKeyBlock),
        sums(Accumulator<C>::elements(cpu::kQueryBlock, shape.value_width));
    const Accumulator<C> acc(sums.data(), queries.size(), shape.value_width);
    const auto q_block = cpu::load_block<T>(q, b, h, queries, q_copy.data());
    const Range seen = shape.visible(queries.begin, queries.end - 1);
    for (std::int64_t at = seen.begin; at < seen.end; at += cpu::kKeyBlock) {
      const Range keys{at, std::min(seen.end, at + cpu::kKeyBlock)};
      const auto k_block = cpu::load_block<T>(k, b, h / group, keys, k_copy.data());
      const auto v_block = cpu::load_block<T>(v, b, h / group, keys, v_copy.data());
      cpu::masked_scores(shape, mask, attrs.scale, q_block, k_block, b, h, queries, keys, scores.data());
      for (std::int64_t i = 0; i < queries.size(); ++i) acc.absorb(i, scores.data() + i * keys.size(), keys.size());
      cpu::tile_product(queries.size(), shape.value_width, keys.size(), C(1), {scores.data(), keys.size(), false},
                        v_block.plain(), C(1), acc.value, shape.value_width, cpu::kDefaultEngine);
    }
    const Strides& s = out.strides();
    T* const po = out.mutable_data<T>() + b * s[0] + h * s[1];
    for (std::int64_t i = 0; i < queries.size(); ++i) {
      C* const row = acc.value + i * shape.value_width;
      const C scale = acc.total[i] == C(0) ? C(0) : C(1) / acc.total[i];
      for (std::int64_t d = 0; d < shape.value_width; ++d) row[d] *= scale;
      cpu::store_row(row, po + (queries.begin + i) * s[2], shape.value_width, s[3]);
      log_sums[(b * shape.heads + h) * shape.queries + queries.begin + i] = acc.top[i] + log_fast(acc.total[i]);
    }
  });
}

}  // namespace

RETORT_CPU_KERNEL(attention) {
  if (call.out[0].numel() == 0) return;
  visit_float(call.in[0].dtype(), [&]<class T>(T) { attend<T>(call); });
}

}  // namespace retort
