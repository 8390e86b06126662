#include "nn/layers/attention.h"

#include <cmath>

#include "autograd/ops/create.h"
#include "autograd/ops/rotary.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
AttentionConfig resolved(AttentionConfig c) {
  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.width < 1 || c.heads < 1 || c.kv_heads < 1 || c.heads % c.kv_heads != 0 ||
      (c.head_width == 0 && c.width % c.heads != 0))
    throw ConfigError("attention: width must be a multiple of heads, and heads of kv_heads; got {}, {} and {}", c.width,
                      c.heads, c.kv_heads);
  if (c.head_width == 0) c.head_width = c.width / c.heads;
  if (c.rotary.base > 0) rotary_rates(c.rotary, c.head_width);  // refuses what has none
  return c;
}
}  // namespace

SelfAttention::SelfAttention(const AttentionConfig& how)
    : config(resolved(how)), out(config.heads * config.head_width, how.width, how.out_bias.value_or(how.bias)) {
  const std::int64_t wide = config.heads * config.head_width, narrow = config.kv_heads * config.head_width;
  if (config.fused) {
    qkv.emplace(config.width, wide + 2 * narrow, config.bias);
  } else {
    q.emplace(config.width, wide, config.bias);
    k.emplace(config.width, narrow, config.bias);
    v.emplace(config.width, narrow, config.bias);
  }
  if (config.qk_norm) {
    q_norm.emplace(config.head_width, config.qk_eps);
    k_norm.emplace(config.head_width, config.qk_eps);
  }
}

/// q, k and v as [n, heads, t, head_width] views of the projections.
std::vector<Tensor> SelfAttention::project(const Tensor& x, Ctx& ctx) const {
  const std::int64_t d = config.head_width, narrow = config.kv_heads * d;
  const std::int64_t sizes[] = {config.heads * d, narrow, narrow};
  std::vector<Tensor> all =
      qkv ? split((*qkv)(x, ctx), sizes, -1) : std::vector<Tensor>{(*q)(x, ctx), (*k)(x, ctx), (*v)(x, ctx)};
  for (Tensor& h : all) h = transpose(reshape(h, {x.size(0), x.size(1), h.size(2) / d, d}), 1, 2);
  return all;
}

Tensor SelfAttention::operator()(const Tensor& x, Ctx& ctx, const AttentionState& state) const {
  ctx.tap(*this, "in", x);
  const std::vector<Tensor> heads = project(x, ctx);
  Tensor query = heads[0], key = heads[1], value = heads[2];
  if (q_norm) {
    query = (*q_norm)(query, ctx);
    key = (*k_norm)(key, ctx);
  }
  AttentionOptions options{.causal = config.causal, .window = config.window, .mask = state.visible};
  if (config.rotary.base > 0) {
    const Tensor positions = state.positions.defined() ? state.positions : arange(x.size(1), DType::i64, x.device());
    const std::vector<double> rates = rotary_rates(config.rotary, config.head_width);
    query = rotary(query, positions, rates);
    key = rotary(key, positions, rates);
    if (config.rotary.attention != 1)
      options.scale = config.rotary.attention * config.rotary.attention / std::sqrt(config.head_width);
  }
  ctx.tap(*this, "q", query);
  ctx.tap(*this, "k", key);
  ctx.tap(*this, "v", value);
  if (state.cache) {
    const KvCache::Filled filled = state.cache->append_(state.layer, key, value);
    key = filled.k;
    value = filled.v;
  }
  if (ctx.wants(*this, "attn")) ctx.tap(*this, "attn", attention_weights(query, key, options));
  if (ctx.wants(*this, "value_relation"))
    ctx.tap(*this, "value_relation",
            attention_weights(value, value, {.causal = config.causal, .window = config.window, .mask = state.visible}));
  if (ctx.finished()) return {};
  const Tensor mixed = attention(query, key, value, options);
  const Tensor merged = reshape(transpose(mixed, 1, 2), {x.size(0), x.size(1), config.heads * config.head_width});
  const Tensor y = out(merged, ctx);
  ctx.tap(*this, "out", y);
  return y;
}

void SelfAttention::visit(Visitor& visitor) {
  for (auto& [name, linear] :
       {std::pair<const char*, std::optional<Linear>*>{"qkv", &qkv}, {"q", &q}, {"k", &k}, {"v", &v}})
    if (*linear) visitor(name, **linear);
  if (q_norm) visitor("q_norm", *q_norm);
  if (k_norm) visitor("k_norm", *k_norm);
  visitor("out", out);
}

}  // namespace retort
