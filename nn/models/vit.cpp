#include "nn/models/vit.h"

#include "autograd/ops/arithmetic.h"
#include "nn/checkpoint.h"

namespace retort {

namespace {
VitConfig resolved(VitConfig c) {
  if (c.hidden == 0) c.hidden = 4 * c.width;
  if (c.depth < 1 || c.patch < 1 || c.image < c.patch || c.image % c.patch != 0)
    throw ConfigError("vit: needs a depth of 1 and images of whole patches; got depth {}, image {} and patch {}",
                      c.depth, c.image, c.patch);
  return c;
}
}  // namespace

Vit::Vit(const VitConfig& how)
    : config(resolved(how)),
      patch_embed(how.in_channels, how.width, how.patch),
      class_token({how.width}, Init::normal(1e-6), false),
      dropout(how.dropout),
      norm(how.width, 1e-6),
      head(how.width, how.classes) {
  const std::int64_t side = config.image / config.patch, special = config.distilled ? 2 : 1;
  if (config.prompts > 0) prompts = Parameter({config.prompts, config.width}, Init::normal(0.02), false);
  positions = Parameter({special + side * side, config.width}, Init::normal(0.02), false);
  if (config.distilled) {
    dist_token = Parameter({config.width}, Init::normal(0.02), false);
    head_dist.emplace(config.width, config.classes);
  }
  blocks.reserve(static_cast<std::size_t>(config.depth));
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const double share = config.depth > 1 ? static_cast<double>(i) / static_cast<double>(config.depth - 1) : 0;
    blocks.emplace_back(BlockConfig{.attention = {.width = config.width, .heads = config.heads},
                                    .hidden = config.hidden,
                                    .eps = 1e-6,
                                    .dropout = config.dropout,
                                    .drop_path = config.drop_path * share});
  }
  // The reference cuts these normals at +-2, a hundred deviations away: not at all.
  for (const auto& [name, p] : parameters_of(*this))
    if (p->value.rank() == 2) p->init = Init::normal(0.02);
  Conv2d& proj = patch_embed.proj;
  const double bound = 1 / std::sqrt(fans_of(proj.weight.value.shape()).in);
  proj.weight.init = proj.bias.init = Init::uniform(bound);
  name_modules(*this);
}

/// [n, special + patches, width]: the special tokens, then the patches, all with their positions.
Tensor Vit::tokens(const Tensor& x, Ctx& ctx) const {
  if (x.rank() != 4 || x.size(2) != config.image || x.size(3) != config.image)
    throw ShapeError("vit: images must be [n, c, {}, {}]; got {}", config.image, config.image, x.str());
  const Shape one{x.size(0), 1, config.width};
  std::vector<Tensor> parts{broadcast_to(ctx(class_token), one)};
  if (config.distilled) parts.push_back(broadcast_to(ctx(dist_token), one));
  parts.push_back(patch_embed(x, ctx));
  const Tensor embedded = dropout(concat(parts, 1) + ctx(positions), ctx);
  if (config.prompts == 0) return embedded;
  return concat(Tensors{embedded, broadcast_to(ctx(prompts), {x.size(0), config.prompts, config.width})}, 1);
}

Tensor Vit::forward(const Tensor& x, Ctx& ctx) const {
  Tensor h = tokens(x, ctx);
  for (const TransformerBlock& block : blocks) {
    if (ctx.finished()) return {};
    h = ctx.recompute ? checkpoint(block, h, ctx) : block(h, ctx);
  }
  if (ctx.finished()) return {};
  h = norm(h, ctx);
  ctx.tap(norm, "out", h);
  if (ctx.finished()) return {};
  const Tensor label = head(select(h, 1, 0), ctx);
  if (!head_dist) return label;
  return (label + (*head_dist)(select(h, 1, 1), ctx)) * 0.5;
}

std::string Vit::arch() const {
  const VitConfig& c = config;
  return fmt::format(
      "{}(image={} patch={} in={} classes={} width={} depth={} heads={} hidden={} dropout={} drop_path={}{})",
      c.distilled ? "deit" : "vit", c.image, c.patch, c.in_channels, c.classes, c.width, c.depth, c.heads, c.hidden,
      c.dropout, c.drop_path, c.prompts > 0 ? fmt::format(" prompts={}", c.prompts) : "");
}

void Vit::visit(Visitor& v) {
  v("patch_embed", patch_embed);
  v("class_token", class_token);
  if (config.distilled) v("dist_token", dist_token);
  if (config.prompts > 0) v("prompts", prompts);
  v("positions", positions);
  v("dropout", dropout);
  v("blocks", blocks);
  v("norm", norm);
  v("head", head);
  if (head_dist) v("head_dist", *head_dist);
}

}  // namespace retort
