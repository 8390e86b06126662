#include "nn/models/causal_lm.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "nn/checkpoint.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
CausalLmConfig resolved(CausalLmConfig c) {
  const bool gpt2 = c.layout == LmLayout::gpt2;
  if (c.kv_heads == 0) c.kv_heads = c.heads;
  if (c.hidden == 0) c.hidden = 4 * c.width;
  if (c.vocab < 1 || c.context < 1 || c.depth < 1 || c.hidden < 1)
    throw ConfigError("causal_lm: sizes must be positive; got vocab {}, context {}, depth {}, hidden {}", c.vocab,
                      c.context, c.depth, c.hidden);
  if (gpt2 && (c.kv_heads != c.heads || c.window != 0 || c.head_width != 0 || c.qk_norm || c.bias != LmBias::none))
    throw ConfigError(
        "gpt2: heads of width / heads with keys and biases of their own see all positions; got {} of {}, a head_width "
        "of {}, a window of {}, or norms or biases of the other layout",
        c.kv_heads, c.heads, c.head_width, c.window);
  return c;
}

BlockConfig block_of(const CausalLmConfig& c) {
  const bool gpt2 = c.layout == LmLayout::gpt2;
  return {.attention = {.width = c.width,
                        .heads = c.heads,
                        .kv_heads = c.kv_heads,
                        .head_width = c.head_width,
                        .fused = gpt2,
                        .bias = gpt2 || c.bias != LmBias::none,
                        .out_bias = gpt2 || c.bias == LmBias::attn,
                        .qk_norm = c.qk_norm,
                        .qk_eps = c.eps,
                        .causal = true,
                        .window = c.window,
                        .rotary = gpt2 ? RotaryConfig() : c.rotary},
          .hidden = c.hidden,
          .rms = !gpt2,
          .eps = c.eps,
          .gated = !gpt2,
          .act = Activation::gelu_tanh,
          .dropout = c.dropout};
}

/// What most models of the layout have not: " head_width=10 qk_norm=head".
std::string llama_more(const CausalLmConfig& c) {
  std::string more;
  if (c.head_width != 0 && c.head_width * c.heads != c.width) more += fmt::format(" head_width={}", c.head_width);
  if (c.bias != LmBias::none) more += c.bias == LmBias::qkv ? " bias=qkv" : " bias=attn";
  if (c.qk_norm) more += " qk_norm=head";
  if (c.rotary.width != 0) more += fmt::format(" rotary_width={}", c.rotary.width);
  if (c.rotary.scaling != RotaryScaling::none) more += " rotary=" + c.rotary.scaling_text();
  return more;
}

/// Positions [n or 1, t] of tokens that follow `past` others, and which of the past + t keys each row may see.
struct Place {
  Tensor positions, visible;
};
Place place_of(const Tensor& tokens, std::int64_t past, const Tensor& left_pad) {
  const std::int64_t n = tokens.size(0), t = tokens.size(1);
  const Tensor columns = arange(t, DType::i64, tokens.device(), static_cast<double>(past));
  if (!left_pad.defined()) return {columns, {}};
  if (left_pad.dtype() != DType::i64 || !(left_pad.shape() == Shape{n}))
    throw ShapeError("causal_lm: left_pad must be i64 [{}]; got {}", n, left_pad.str());
  const Tensor keys = arange(past + t, DType::i64, tokens.device());
  return {maximum(columns - reshape(left_pad, {n, 1}), 0), greater_equal(keys, reshape(left_pad, {n, 1, 1, 1}))};
}
}  // namespace

CausalLm::CausalLm(const CausalLmConfig& how)
    : config(resolved(how)), embed(how.vocab, how.width), dropout(how.dropout), norm(LayerNorm(how.width, how.eps)) {
  const bool gpt2 = config.layout == LmLayout::gpt2;
  if (gpt2) {
    positions.emplace(config.context, config.width);
    positions->weight.decays = false;
  } else {
    norm = RmsNorm(config.width, config.eps);
  }
  blocks.reserve(static_cast<std::size_t>(config.depth));
  for (std::int64_t i = 0; i < config.depth; ++i) blocks.emplace_back(block_of(config));
  if (!config.tied) head.emplace(config.width, config.vocab, false);
  const double residual = gpt2 ? 1 / std::sqrt(2.0 * static_cast<double>(config.depth)) : 1;
  for (const auto& [name, p] : parameters_of(*this)) {
    const bool ends_branch = name.ends_with("attn.out.weight") || name.ends_with("mlp.down.weight");
    if (p->value.rank() == 2) p->init = Init::normal(0.02 * (ends_branch ? residual : 1));
  }
  name_modules(*this);
}

Tensor CausalLm::hidden(const Tensor& tokens, Ctx& ctx, const DecodeState& state) const {
  if (tokens.rank() != 2 || tokens.dtype() != DType::i64)
    throw ShapeError("causal_lm: tokens must be i64 [n, t]; got {}", tokens.str());
  const std::int64_t past = state.cache ? state.cache->length() : 0;
  if (past + tokens.size(1) > config.context)
    throw ShapeError("causal_lm: the model reads at most {} positions; got {}", config.context, past + tokens.size(1));
  const Place place = place_of(tokens, past, state.left_pad);
  Tensor h = embed(tokens, ctx);
  if (positions) h = h + (*positions)(place.positions, ctx);
  h = dropout(h, ctx);
  ctx.tap(embed, "out", h);
  // Tokens may lie on the host, and so do the whole numbers that come of them.
  const Device device = embed.weight.value.device();
  AttentionState attention{to(place.positions, device), to(place.visible, device), state.cache, 0};
  if (attention.positions.rank() == 2) attention.positions = unsqueeze(attention.positions, 1);
  for (const TransformerBlock& block : blocks) {
    const auto run = [&block, attention](const Tensor& x, Ctx& c) { return block(x, c, attention); };
    h = ctx.recompute ? checkpoint(block, run, h, ctx) : run(h, ctx);
    if (ctx.finished()) return {};
    ++attention.layer;
  }
  std::visit(
      [&](const auto& last) {
        h = last(h, ctx);
        ctx.tap(last, "out", h);
      },
      norm);
  return h;
}

KvCache CausalLm::new_cache(std::int64_t batch, std::int64_t capacity, DType dtype) const {
  const AttentionConfig& a = blocks.front().attn.config;
  return {blocks.size(), batch, a.kv_heads, capacity, a.head_width, dtype, embed.weight.value.device()};
}

std::string CausalLm::arch() const {
  const CausalLmConfig& c = config;
  if (c.layout == LmLayout::gpt2)
    return fmt::format("gpt2(vocab={} context={} width={} depth={} heads={} hidden={} eps={} head={} dropout={})",
                       c.vocab, c.context, c.width, c.depth, c.heads, c.hidden, c.eps, c.tied ? "tied" : "own",
                       c.dropout);
  return fmt::format(
      "llama(vocab={} context={} width={} depth={} heads={} kv_heads={} hidden={} window={} rotary_base={} eps={} "
      "head={} dropout={}{})",
      c.vocab, c.context, c.width, c.depth, c.heads, c.kv_heads, c.hidden, c.window, c.rotary.base, c.eps,
      c.tied ? "tied" : "own", c.dropout, llama_more(c));
}

void CausalLm::visit(Visitor& v) {
  v("embed", embed);
  if (positions) v("positions", *positions);
  v("dropout", dropout);
  v("blocks", blocks);
  std::visit([&](auto& last) { v("norm", last); }, norm);
  if (head) v("head", *head);
}

}  // namespace retort
