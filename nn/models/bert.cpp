// nn/models/bert.cpp -- embeddings of tokens, positions and segments, post-norm blocks, pooling.
#include "nn/models/bert.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "nn/checkpoint.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
BertConfig resolved(BertConfig c) {
  if (c.hidden == 0) c.hidden = 4 * c.width;
  if (c.vocab < 1 || c.context < 1 || c.depth < 1 || c.hidden < 1 || c.types < 1)
    throw ConfigError("bert: sizes must be positive; got vocab {}, context {}, depth {}, hidden {}, types {}", c.vocab,
                      c.context, c.depth, c.hidden, c.types);
  if (c.counted && c.context < c.padding + 2)
    throw ConfigError("roberta: positions are counted from {}, and there are {}", c.padding + 1, c.context);
  return c;
}
}  // namespace

std::string_view name_of(Pooling pooling) {
  constexpr std::string_view names[] = {"none", "mean", "first", "pooler"};
  return names[static_cast<std::size_t>(pooling)];
}

Bert::Bert(const BertConfig& how)
    : config(resolved(how)),
      embed(how.vocab, how.width),
      positions(how.context, how.width),
      types(how.types, how.width),
      embed_norm(how.width, how.eps),
      dropout(how.dropout) {
  blocks.reserve(static_cast<std::size_t>(config.depth));
  for (std::int64_t i = 0; i < config.depth; ++i)
    blocks.emplace_back(BlockConfig{.attention = {.width = config.width, .heads = config.heads, .fused = false},
                                    .hidden = config.hidden,
                                    .eps = config.eps,
                                    .post_norm = true,
                                    .act = config.act,
                                    .dropout = config.dropout});
  if (config.pool == Pooling::pooler) pooler.emplace(config.width, config.width);
  for (const auto& [name, p] : parameters_of(*this))
    if (p->value.rank() == 2) p->init = Init::normal(0.02);
  name_modules(*this);
}

/// The position of every token, i64 [n, t] or [t].
Tensor Bert::places(const Tensor& visible) const {
  if (!config.counted) return arange(visible.size(1), DType::i64, visible.device());
  const Tensor seen = cast(visible, DType::f32);  // whole numbers up to any context are exact
  return cast(cumsum(seen, 1) * seen + static_cast<double>(config.padding), DType::i64);
}

Tensor Bert::encode(const Tensor& tokens, const Tensor& segments, Ctx& ctx) const {
  if (tokens.rank() != 2 || tokens.dtype() != DType::i64)
    throw ShapeError("bert: tokens must be i64 [n, t]; got {}", tokens.str());
  const std::int64_t n = tokens.size(0), t = tokens.size(1);
  if (!config.counted && t > config.context)
    throw ShapeError("bert: the model reads at most {} positions; got {}", config.context, t);
  const Tensor kinds = segments.defined() ? segments : Tensor::zeros({n, t}, DType::i64, tokens.device());
  if (!(kinds.shape() == tokens.shape()))
    throw ShapeError("bert: segments must be as the tokens, {}; got {}", tokens.str(), kinds.str());
  const Tensor visible = not_equal(tokens, scalar_like(tokens, static_cast<double>(config.padding)));
  const Tensor sums = embed(tokens, ctx) + types(kinds, ctx) + positions(places(visible), ctx);
  Tensor h = dropout(embed_norm(sums, ctx), ctx);
  ctx.tap(embed_norm, "out", h);
  const Tensor shown = to(visible, h.device());  // tokens may lie on the host
  const AttentionState state{.visible = reshape(shown, {n, 1, 1, t})};
  for (const TransformerBlock& block : blocks) {
    if (ctx.finished()) return {};
    const auto run = [&block, state](const Tensor& x, Ctx& c) { return block(x, c, state); };
    h = ctx.recompute ? checkpoint(block, run, h, ctx) : run(h, ctx);
  }
  if (ctx.finished()) return {};
  const Tensor y = pooled(h, shown, ctx);
  if (!config.unit) return y;
  return y * rsqrt(maximum(sum(y * y, {-1}, true), 1e-24));
}

Tensor Bert::pooled(const Tensor& states, const Tensor& visible, Ctx& ctx) const {
  switch (config.pool) {
    case Pooling::none:
      return states;
    case Pooling::first:
      return select(states, 1, 0);
    case Pooling::pooler:
      return tanh((*pooler)(select(states, 1, 0), ctx));
    case Pooling::mean:
      break;
  }
  // A padding's state may be anything, also not finite: it is left out, not multiplied by 0.
  const Tensor seen = unsqueeze(visible, 2), count = maximum(sum(cast(seen, states.dtype()), {1}), 1);
  return sum(where(seen, states, scalar_like(states, 0)), {1}) / count;
}

std::string Bert::arch() const {
  const BertConfig& c = config;
  return fmt::format(
      "{}(vocab={} context={} width={} depth={} heads={} hidden={} types={} padding={} act={} eps={} pool={} "
      "norm={} dropout={})",
      c.counted ? "roberta" : "bert", c.vocab, c.context, c.width, c.depth, c.heads, c.hidden, c.types, c.padding,
      name_of(c.act), c.eps, name_of(c.pool), c.unit ? "unit" : "none", c.dropout);
}

void Bert::visit(Visitor& v) {
  v("embed", embed);
  v("positions", positions);
  v("types", types);
  v("embed_norm", embed_norm);
  v("dropout", dropout);
  v("blocks", blocks);
  if (pooler) v("pooler", *pooler);
}

}  // namespace retort
