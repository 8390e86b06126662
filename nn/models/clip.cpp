// nn/models/clip.cpp -- a causal encoder read at its end token, a ViT, and what both end in.
#include "nn/models/clip.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "nn/checkpoint.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
std::string text_of(const ClipEndConfig& c) {
  return fmt::format("project={} norm={} scale={}", c.project, c.unit ? "unit" : "none", c.scaled ? "learned" : "none");
}

ClipTextConfig resolved(ClipTextConfig c) {
  if (c.hidden == 0) c.hidden = 4 * c.width;
  if (c.vocab < 1 || c.context < 1 || c.depth < 1 || c.hidden < 1)
    throw ConfigError("clip_text: sizes must be positive; got vocab {}, context {}, depth {}, hidden {}", c.vocab,
                      c.context, c.depth, c.hidden);
  if (c.end >= c.vocab) throw ConfigError("clip_text: the end token is {}, and there are {} tokens", c.end, c.vocab);
  return c;
}
}  // namespace

ClipEnd::ClipEnd(std::int64_t width, const ClipEndConfig& how) : config(how) {
  if (how.scaled && !how.unit) throw ConfigError("clip: scale=learned needs norm=unit");
  if (how.project > 0) {
    projection.emplace(width, how.project, false);
    projection->weight.init = Init::normal(1 / std::sqrt(static_cast<double>(width)));
  }
  if (how.scaled) logit_scale = Parameter(Shape{}, Init::constant(std::log(1 / 0.07)), false);
}

Tensor ClipEnd::operator()(const Tensor& x, Ctx& ctx) const {
  const Tensor y = projection ? (*projection)(x, ctx) : x;
  if (!config.unit || ctx.finished()) return y;
  const Tensor unit = y * rsqrt(maximum(sum(y * y, {-1}, true), 1e-24));
  return config.scaled ? unit * exp(ctx(logit_scale)) : unit;
}

void ClipEnd::visit(Visitor& v) {
  if (projection) v("projection", *projection);
  if (config.scaled) v("logit_scale", logit_scale);
}

ClipText::ClipText(const ClipTextConfig& how)
    : config(resolved(how)),
      embed(how.vocab, how.width),
      positions(how.context, how.width, 0.01),
      norm(how.width, how.eps),
      end(how.width, how.head) {
  blocks.reserve(static_cast<std::size_t>(config.depth));
  for (std::int64_t i = 0; i < config.depth; ++i)
    blocks.emplace_back(
        BlockConfig{.attention = {.width = config.width, .heads = config.heads, .fused = false, .causal = true},
                    .hidden = config.hidden,
                    .eps = config.eps,
                    .act = config.act});
  name_modules(*this);
}

Tensor ClipText::forward(const Tensor& tokens, Ctx& ctx) const {
  if (tokens.rank() != 2 || tokens.dtype() != DType::i64 || tokens.size(1) == 0)
    throw ShapeError("clip_text: tokens must be i64 [n, t] with a token in each row; got {}", tokens.str());
  const std::int64_t n = tokens.size(0), t = tokens.size(1);
  if (t > config.context)
    throw ShapeError("clip_text: the model reads at most {} positions; got {}", config.context, t);
  Tensor h = embed(tokens, ctx) + positions(arange(t, DType::i64, tokens.device()), ctx);
  ctx.tap(embed, "out", h);
  for (const TransformerBlock& block : blocks) {
    if (ctx.finished()) return {};
    h = ctx.recompute ? checkpoint(block, h, ctx) : block(h, ctx);
  }
  if (ctx.finished()) return {};
  h = norm(h, ctx);
  ctx.tap(norm, "out", h);
  if (ctx.finished()) return {};
  const Tensor marked =
      config.end < 0 ? tokens : cast(equal(tokens, scalar_like(tokens, static_cast<double>(config.end))), DType::i64);
  const Tensor rows = arange(n, DType::i64, tokens.device(), 0, static_cast<double>(t)) + argmax(marked);
  return end(index_select(reshape(h, {n * t, config.width}), 0, to(rows, h.device())), ctx);
}

std::string ClipText::arch() const {
  const ClipTextConfig& c = config;
  return fmt::format("clip_text(vocab={} context={} width={} depth={} heads={} hidden={} act={} eps={} end={} {})",
                     c.vocab, c.context, c.width, c.depth, c.heads, c.hidden, name_of(c.act), c.eps,
                     c.end < 0 ? "largest" : fmt::format("{}", c.end), text_of(c.head));
}

void ClipText::visit(Visitor& v) {
  v("embed", embed);
  v("positions", positions);
  v("blocks", blocks);
  v("norm", norm);
  v("end", end);
}

VitConfig ClipVisionConfig::layout() {
  return {.patch = 32,
          .classes = 0,
          .width = 768,
          .heads = 12,
          .joined = false,
          .act = Activation::quick_gelu,
          .eps = 1e-5,
          .pre_norm = true,
          .norm_pooled = true};
}

ClipVision::ClipVision(const ClipVisionConfig& how) : config(how), tower(how.tower), end(how.tower.width, how.head) {
  config.tower = tower.config;
  name_modules(*this);
}

Tensor ClipVision::forward(const Tensor& x, Ctx& ctx) const {
  const Tensor y = tower.forward(x, ctx);
  return ctx.finished() ? Tensor() : end(y, ctx);
}

std::string ClipVision::arch() const {
  const VitConfig& c = config.tower;
  return fmt::format("clip_vision(image={} patch={} in={} width={} depth={} heads={} hidden={} act={} eps={} {})",
                     image_text(c.image, c.image_width), c.patch, c.in_channels, c.width, c.depth, c.heads, c.hidden,
                     name_of(c.act), c.eps, text_of(config.head));
}

void ClipVision::visit(Visitor& v) {
  v("tower", tower);
  v("end", end);
}

}  // namespace retort
