#include "nn/layers/transformer.h"

#include "autograd/ops/arithmetic.h"

namespace retort {

namespace {
std::variant<LayerNorm, RmsNorm> norm_of(const BlockConfig& c) {
  if (c.rms) return RmsNorm(c.attention.width, c.eps);
  return LayerNorm(c.attention.width, c.eps);
}
std::variant<Mlp, SwiGlu, JoinedSwiGlu> mlp_of(const BlockConfig& c) {
  if (c.gated && c.joined) return JoinedSwiGlu(c.attention.width, c.hidden);
  if (c.gated) return SwiGlu(c.attention.width, c.hidden);
  return Mlp(c.attention.width, c.hidden, c.act);
}
template <class Variant>
Tensor call(const Variant& layer, const Tensor& x, Ctx& ctx) {
  return std::visit([&](const auto& l) { return l(x, ctx); }, layer);
}
}  // namespace

TransformerBlock::TransformerBlock(const BlockConfig& how)
    : norm1(norm_of(how)),
      norm2(norm_of(how)),
      attn(how.attention),
      mlp(mlp_of(how)),
      attn_dropout(how.dropout),
      mlp_dropout(how.dropout),
      attn_path(how.drop_path),
      mlp_path(how.drop_path),
      post_norm(how.post_norm) {
  if (how.scale <= 0) return;
  scale1.emplace(how.attention.width, how.scale);
  scale2.emplace(how.attention.width, how.scale);
}

Tensor TransformerBlock::operator()(const Tensor& x, Ctx& ctx, const AttentionState& state) const {
  Tensor mixed = attn(post_norm ? x : call(norm1, x, ctx), ctx, state);
  if (ctx.finished()) return {};
  if (scale1) mixed = (*scale1)(mixed, ctx);
  const auto second = [&](const Tensor& in) {
    const Tensor branch = call(mlp, in, ctx);
    return mlp_path(mlp_dropout(scale2 ? (*scale2)(branch, ctx) : branch, ctx), ctx);
  };
  Tensor y = x + attn_path(attn_dropout(mixed, ctx), ctx);
  if (post_norm) {
    y = call(norm1, y, ctx);
    y = call(norm2, y + second(y), ctx);
  } else {
    y = y + second(call(norm2, y, ctx));
  }
  ctx.tap(*this, "out", y);
  return y;
}

void TransformerBlock::visit(Visitor& v) {
  std::visit([&](auto& layer) { v("norm1", layer); }, norm1);
  v("attn", attn);
  if (scale1) v("scale1", *scale1);
  v("attn_dropout", attn_dropout);
  v("attn_path", attn_path);
  std::visit([&](auto& layer) { v("norm2", layer); }, norm2);
  std::visit([&](auto& layer) { v("mlp", layer); }, mlp);
  if (scale2) v("scale2", *scale2);
  v("mlp_dropout", mlp_dropout);
  v("mlp_path", mlp_path);
}

}  // namespace retort
