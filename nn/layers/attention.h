// nn/layers/attention.h -- multi-head self-attention for every transformer here: fused or separate projections, grouped
// heads, rotary positions, sliding windows, cached keys.
#pragma once
#include <optional>

#include "nn/kv_cache.h"
#include "nn/layers/linear.h"
#include "nn/layers/norm.h"
#include "nn/layers/rotary.h"

namespace retort {

struct AttentionConfig {
  std::int64_t width = 0, heads = 1;
  std::int64_t kv_heads = 0;          ///< keys and values; 0: as many as `heads`
  std::int64_t head_width = 0;        ///< 0: width / heads
  bool fused = true;                  ///< one projection `qkv` (rows of q, then k, then v); otherwise `q`, `k` and `v`
  bool bias = true;                   ///< of all projections
  std::optional<bool> out_bias = {};  ///< of `out`, where it differs
  bool qk_norm = false;               ///< RMS norms `q_norm` and `k_norm` over each head, before positions
  double qk_eps = 1e-6;
  bool causal = false;
  std::int64_t window = 0;   ///< positive: only keys nearer than this many positions
  RotaryConfig rotary = {};  ///< with a base, queries and keys are turned by their positions
};

/// What attention is told beside its input; the default is a whole sequence that starts at position 0.
struct AttentionState {
  Tensor positions = {};     ///< i64, broadcasts to [n, heads, t]; undefined: 0 .. t-1
  Tensor visible = {};       ///< bool, broadcasts to [n, heads, t, s]: keys that are no padding; undefined: all
  KvCache* cache = nullptr;  ///< earlier positions, to which these are appended
  std::size_t layer = 0;     ///< the slot of `cache`
};

/// x [n, t, width] -> [n, t, width] (Vaswani et al. 2017). Attention weights are never stored, so there is no dropout
/// on them. Taps: in, out; q, k and v [n, heads, t, head_width] as they enter the product; attn [n, heads, t, s], the
/// weights; value_relation [n, kv_heads, s, s], softmax(v v' / sqrt(head_width)) over what the mask shows (Wang et al.
/// 2020, MiniLM). The last two are computed only when wanted. Throws ConfigError for heads that do not divide and for
/// rotary positions that make no sense.
struct SelfAttention : Module {
  AttentionConfig config;  ///< with its zeros resolved
  std::optional<Linear> qkv, q, k, v;
  std::optional<RmsNorm> q_norm, k_norm;
  Linear out;
  explicit SelfAttention(const AttentionConfig& how);
  /// Undefined when the model may stop after a tap in here.
  Tensor operator()(const Tensor& x, Ctx& ctx, const AttentionState& state = {}) const;
  void visit(Visitor& v) override;

 private:
  std::vector<Tensor> project(const Tensor& x, Ctx& ctx) const;
};

}  // namespace retort
