// cuda_kernels/attention.cu -- instances and launchers of attention.
#include "cuda_kernels/attention.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// Calls f with as many tiles as a result of `width` columns keeps in registers; wider ones take several blocks.
template <class F>
static void visit_tiles(std::int64_t width, F&& f) {
  if (width <= kScoreTile) return f(std::integral_constant<int, 1>{});
  if (width <= 2 * kScoreTile) return f(std::integral_constant<int, 2>{});
  f(std::integral_constant<int, 4>{});
}

/// Blocks for `rows` rows of every head, and for the groups of columns.
static gpu::LaunchShape tile_blocks(std::int64_t heads, std::int64_t rows, std::int64_t width, int tiles) {
  return {{blocks_for(heads * ((rows + kScoreTile - 1) / kScoreTile), 1), blocks_for(width, tiles * kScoreTile)},
          {kScoreThreads}};
}

template <class T>
static HeadsIn<T> heads_in(const void* data, const HeadSteps& steps) {
  return {static_cast<const T*>(data), steps};
}

void attention(const Attention& a, gpu::Stream stream) {
  const AttentionShape& shape = a.shape;
  if (shape.batch * shape.heads * shape.queries == 0) return;
  visit_training("attention", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_tiles(shape.value_width, [&](auto tiles) {
      RETORT_LAUNCH(stream, tile_blocks(shape.batch * shape.heads, shape.queries, shape.value_width, tiles),
                    (attention_queries<T, decltype(tiles)::value>), shape, heads_in<T>(a.q, a.q_steps),
                    heads_in<T>(a.k, a.k_steps), heads_in<T>(a.v, a.v_steps),
                    (ScoreMask{a.visible, a.bias, a.mask_steps}), static_cast<T*>(a.y), a.y_steps, a.log_sums);
    });
  });
}

void attention_backward(const AttentionBackward& a, gpu::Stream stream) {
  const AttentionShape& shape = a.forward.shape;
  const std::int64_t lines = shape.batch * shape.heads * shape.queries;
  visit_training("attention_backward", a.forward.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const HeadsIn<T> q = heads_in<T>(a.forward.q, a.forward.q_steps), k = heads_in<T>(a.forward.k, a.forward.k_steps),
                     v = heads_in<T>(a.forward.v, a.forward.v_steps), dy = heads_in<T>(a.dy, a.dy_steps);
    const ScoreMask mask{a.forward.visible, a.forward.bias, a.forward.mask_steps};
    if (lines > 0) {
      RETORT_LAUNCH(stream, row_shape(lines, shape.value_width), attention_inner<T>, shape,
                    heads_in<T>(a.forward.y, a.forward.y_steps), dy, a.inner);
      visit_tiles(shape.width, [&](auto tiles) {
        RETORT_LAUNCH(stream, tile_blocks(shape.batch * shape.heads, shape.queries, shape.width, tiles),
                      (attention_query_slopes<T, decltype(tiles)::value>), shape, q, k, v, mask, dy, a.forward.log_sums,
                      a.inner, static_cast<T*>(a.dq), a.dq_steps);
      });
    }
    if (shape.batch * shape.kv_heads * shape.keys == 0) return;
    visit_tiles(shape.width, [&](auto tiles) {
      RETORT_LAUNCH(stream, tile_blocks(shape.batch * shape.kv_heads, shape.keys, shape.width, tiles),
                    (attention_key_slopes<T, decltype(tiles)::value, false>), shape, q, k, v, mask, dy,
                    a.forward.log_sums, a.inner, static_cast<T*>(a.dk), a.dk_steps);
    });
    visit_tiles(shape.value_width, [&](auto tiles) {
      RETORT_LAUNCH(stream, tile_blocks(shape.batch * shape.kv_heads, shape.keys, shape.value_width, tiles),
                    (attention_key_slopes<T, decltype(tiles)::value, true>), shape, q, k, v, mask, dy,
                    a.forward.log_sums, a.inner, static_cast<T*>(a.dv), a.dv_steps);
    });
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
