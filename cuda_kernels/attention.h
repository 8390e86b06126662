// cuda_kernels/attention.h -- attention and its backward pass, streamed over keys: no scores are stored.
#pragma once
#include "cuda_kernels/arguments.h"
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// Extents of q [B, H, T, D], k [B, Hk, S, D], v [B, Hk, S, Dv], and who sees whom: query i stands at key position
/// i + S - T; causal: it sees no later ones; window w > 0: it sees those at distances below w.
struct AttentionShape {
  std::int64_t batch, heads, kv_heads, queries, keys, width, value_width;
  float scale;
  std::int32_t causal;  ///< 0 or 1: arguments of kernels have no padding
  std::int64_t window;
};
template <>
inline constexpr bool kBytesTell<AttentionShape> = sizeof(AttentionShape) == 9 * sizeof(std::int64_t);

/// Steps of a tensor [B, heads, rows, columns], in elements.
struct HeadSteps {
  std::int64_t batch, head, row, column;
};

/// y [B, H, T, Dv] = softmax(scale q k' + mask) v and log_sums [B, H, T] (dense), f32 or bf16 with sums in f32. A mask
/// [B, H, T, S] is `visible` (true: seen) or `bias` (added); both may be absent. Queries that see nothing get 0.
struct Attention {
  Type type;
  AttentionShape shape;
  const void *q, *k, *v;
  HeadSteps q_steps, k_steps, v_steps;
  const bool* visible;
  const float* bias;
  HeadSteps mask_steps;
  void* y;
  HeadSteps y_steps;
  float* log_sums;
};
RETORT_LAUNCHER(attention, Attention)

/// dq, dk and dv from the forward's operands, results and the cotangent dy. Each is summed by one block in one order.
struct AttentionBackward {
  Attention forward;
  const void* dy;
  HeadSteps dy_steps;
  float* inner;  ///< scratch [B, H, T]
  void *dq, *dk, *dv;
  HeadSteps dq_steps, dk_steps, dv_steps;
};
RETORT_LAUNCHER(attention_backward, AttentionBackward)

}  // namespace retort::kernels
