#include "nn/layers/residual.h"

#include "autograd/ops/arithmetic.h"

namespace retort {

namespace {
void add_projection(Residual& block, std::int64_t in, std::int64_t out, std::int64_t stride) {
  if (stride != 1 || in != out)
    block.shortcut.emplace(in, out, ConvBlockOptions{.kernel = 1, .stride = stride, .act = Activation::none});
}
}  // namespace

Tensor Residual::operator()(const Tensor& x, Ctx& ctx) const {
  Tensor h = x;
  for (std::size_t i = 0; i + 1 < body.size(); ++i) h = body[i](h, ctx);
  const ConvBlock& last = body.back();
  const Tensor aside = !adds ? Tensor() : shortcut ? (*shortcut)(x, ctx) : x;
  Tensor y;
  if (!ctx.wants(last, "pre_act") && !ctx.wants(last, "out") && !ctx.wants(*this, "pre_act"))
    y = last.fused(h, aside, act, ctx);
  if (!y.defined()) {
    h = last(h, ctx);
    if (adds) h = h + aside;
    ctx.tap(*this, "pre_act", h);
    y = activate(act, h);
  }
  ctx.tap(*this, "out", y);
  return y;
}

void Residual::visit(Visitor& v) {
  v("body", body);
  if (shortcut) v("shortcut", *shortcut);
}

Residual basic_residual(std::int64_t in, std::int64_t out, std::int64_t stride) {
  Residual block;
  block.body.emplace_back(in, out, ConvBlockOptions{.stride = stride});
  block.body.emplace_back(out, out, ConvBlockOptions{.act = Activation::none});
  add_projection(block, in, out, stride);
  return block;
}

Residual bottleneck_residual(std::int64_t in, std::int64_t width, std::int64_t out, std::int64_t stride) {
  Residual block;
  block.body.emplace_back(in, width, ConvBlockOptions{.kernel = 1});
  block.body.emplace_back(width, width, ConvBlockOptions{.stride = stride});
  block.body.emplace_back(width, out, ConvBlockOptions{.kernel = 1, .act = Activation::none});
  add_projection(block, in, out, stride);
  return block;
}

Residual inverted_residual(std::int64_t in, std::int64_t expanded, std::int64_t out, std::int64_t stride, bool expand,
                           Activation act) {
  Residual block;
  if (expand) block.body.emplace_back(in, expanded, ConvBlockOptions{.kernel = 1, .act = act});
  block.body.emplace_back(expanded, expanded, ConvBlockOptions{.stride = stride, .groups = expanded, .act = act});
  block.body.emplace_back(expanded, out, ConvBlockOptions{.kernel = 1, .act = Activation::none});
  block.act = Activation::none;
  block.adds = stride == 1 && in == out;
  return block;
}

}  // namespace retort
