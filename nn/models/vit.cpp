// nn/models/vit.cpp -- tokens with positions, pre-norm blocks, pooling, heads.
#include "nn/models/vit.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/image.h"
#include "autograd/ops/reduce.h"
#include "nn/checkpoint.h"

namespace retort {

namespace {
VitConfig resolved(VitConfig c) {
  if (c.hidden == 0) c.hidden = 4 * c.width;
  if (c.image_width == 0) c.image_width = c.image;
  if (c.depth < 1 || c.patch < 1 || c.image < c.patch || c.image % c.patch != 0 || c.image_width < c.patch ||
      c.image_width % c.patch != 0)
    throw ConfigError("vit: needs a depth of 1 and images of whole patches; got depth {}, image {} and patch {}",
                      c.depth, image_text(c.image, c.image_width), c.patch);
  if (c.distilled && c.classes > 0 && c.pool != VitPool::token)
    throw ConfigError("vit: heads of a class token and a distillation token need pool=token; got {}", name_of(c.pool));
  if (c.classes > 0 && c.pool == VitPool::none) throw ConfigError("vit: a head needs a pooling; got pool=none");
  if (c.norm_pooled && c.distilled) throw ConfigError("vit: a distilled one has its norm before the pooling");
  return c;
}

/// The grid of positions [height width, w] for another grid.
Tensor resampled(const Tensor& grid, std::int64_t height, std::int64_t width, std::int64_t out_height,
                 std::int64_t out_width, VitResample how) {
  const std::int64_t features = grid.size(1);
  const Tensor image = permute(reshape(grid, {1, height, width, features}), {0, 3, 1, 2});
  const ResizeOptions options{.mode = ResizeMode::bicubic, .antialias = how == VitResample::antialias};
  const Tensor y = resize2d(image, out_height, out_width, options);
  return reshape(permute(y, {0, 2, 3, 1}), {out_height * out_width, features});
}
}  // namespace

std::string image_text(std::int64_t height, std::int64_t width) {
  return height == width ? fmt::format("{}", height) : fmt::format("{}x{}", height, width);
}

std::string_view name_of(VitPool pool) {
  constexpr std::string_view names[] = {"token", "avg", "token_avg", "none"};
  return names[static_cast<std::size_t>(pool)];
}

std::string_view name_of(VitResample resample) {
  constexpr std::string_view names[] = {"none", "bicubic", "antialias"};
  return names[static_cast<std::size_t>(resample)];
}

VitConfig VitConfig::dinov2() {
  return {.patch = 14,
          .classes = 0,
          .width = 384,
          .heads = 6,
          .joined = false,
          .layer_scale = 1,
          .pool = VitPool::none,
          .resample = VitResample::bicubic};
}

Vit::Vit(const VitConfig& how)
    : config(resolved(how)),
      patch_embed(how.in_channels, how.width, how.patch, !how.pre_norm),
      class_token({how.width}, Init::normal(1e-6), false),
      dropout(how.dropout),
      norm(how.width, how.eps) {
  const std::int64_t patches = config.image / config.patch * (config.image_width / config.patch);
  if (config.registers > 0) registers = Parameter({config.registers, config.width}, Init::normal(0.02), false);
  if (config.prompts > 0) prompts = Parameter({config.prompts, config.width}, Init::normal(0.02), false);
  positions = Parameter({special() + patches, config.width}, Init::normal(0.02), false);
  if (config.distilled) dist_token = Parameter({config.width}, Init::normal(0.02), false);
  if (config.pre_norm) pre_norm.emplace(config.width, config.eps);
  if (config.classes > 0) {
    head.emplace(config.pool == VitPool::token_avg ? 2 * config.width : config.width, config.classes);
    if (config.distilled && config.dist_head) head_dist.emplace(config.width, config.classes);
  }
  blocks.reserve(static_cast<std::size_t>(config.depth));
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const double share = config.depth > 1 ? static_cast<double>(i) / static_cast<double>(config.depth - 1) : 0;
    blocks.emplace_back(BlockConfig{.attention = {.width = config.width,
                                                  .heads = config.heads,
                                                  .fused = config.joined,
                                                  .bias = config.qkv_bias,
                                                  .out_bias = true},
                                    .hidden = config.hidden,
                                    .eps = config.eps,
                                    .gated = config.gated,
                                    .joined = true,
                                    .act = config.act,
                                    .dropout = config.dropout,
                                    .drop_path = config.drop_path * share,
                                    .scale = config.layer_scale});
  }
  // The reference cuts these normals at +-2, a hundred deviations away: not at all.
  for (const auto& [name, p] : parameters_of(*this))
    if (p->value.rank() == 2) p->init = Init::normal(0.02);
  Conv2d& proj = patch_embed.proj;
  const double bound = 1 / std::sqrt(fans_of(proj.weight.value.shape()).in);
  proj.weight.init = proj.bias.init = Init::uniform(bound);
  name_modules(*this);
}

/// [special + patches, width] for images like x.
Tensor Vit::positions_for(const Tensor& x, Ctx& ctx) const {
  const bool same = x.rank() == 4 && x.size(2) == config.image && x.size(3) == config.image_width;
  if (x.rank() != 4 || (!same && config.resample == VitResample::none))
    throw ShapeError("vit: images must be [n, c, {}, {}]; got {}{}", config.image, config.image_width, x.str(),
                     x.rank() == 4 ? "; hint: resample=bicubic" : "");
  const Tensor all = ctx(positions);
  const std::int64_t height = x.size(2) / config.patch, width = x.size(3) / config.patch;
  if (same || height == 0 || width == 0) return all;
  const std::int64_t sizes[] = {special(), all.size(0) - special()};
  const Tensors parts = split(all, sizes, 0);
  return concat(Tensors{parts[0], resampled(parts[1], config.image / config.patch, config.image_width / config.patch,
                                            height, width, config.resample)},
                0);
}

/// [n, special + registers + patches + prompts, width]: the special tokens, then the patches, all with their positions,
/// and the tokens without.
Tensor Vit::tokens(const Tensor& x, Ctx& ctx) const {
  const Tensor places = positions_for(x, ctx);
  const Shape one{x.size(0), 1, config.width};
  std::vector<Tensor> parts{broadcast_to(ctx(class_token), one)};
  if (config.distilled) parts.push_back(broadcast_to(ctx(dist_token), one));
  parts.push_back(patch_embed(x, ctx));
  Tensor embedded = concat(parts, 1) + places;
  const auto spread = [&](const Parameter& p) {
    return broadcast_to(ctx(p), {x.size(0), p.value.size(0), config.width});
  };
  if (config.registers > 0) {
    const std::int64_t sizes[] = {special(), embedded.size(1) - special()};
    const Tensors halves = split(embedded, sizes, 1);
    embedded = concat(Tensors{halves[0], spread(registers), halves[1]}, 1);
  }
  embedded = dropout(embedded, ctx);
  return config.prompts == 0 ? embedded : concat(Tensors{embedded, spread(prompts)}, 1);
}

Tensor Vit::pooled(const Tensor& states, std::int64_t patches) const {
  if (config.pool == VitPool::none) return states;
  const Tensor first = select(states, 1, 0);
  if (config.pool == VitPool::token) return first;
  const std::int64_t before = special() + config.registers;
  const std::int64_t sizes[] = {before, patches, states.size(1) - before - patches};
  const Tensor average = mean(split(states, sizes, 1)[1], {1});
  return config.pool == VitPool::avg ? average : concat(Tensors{first, average}, 1);
}

Tensor Vit::forward(const Tensor& x, Ctx& ctx) const {
  Tensor h = tokens(x, ctx);
  if (pre_norm) {
    h = (*pre_norm)(h, ctx);
    ctx.tap(*pre_norm, "out", h);
  }
  for (const TransformerBlock& block : blocks) {
    if (ctx.finished()) return {};
    h = ctx.recompute ? checkpoint(block, h, ctx) : block(h, ctx);
  }
  if (ctx.finished()) return {};
  const std::int64_t patches = x.size(2) / config.patch * (x.size(3) / config.patch);
  if (config.norm_pooled) h = pooled(h, patches);
  h = norm(h, ctx);
  ctx.tap(norm, "out", h);
  if (ctx.finished()) return {};
  const Tensor read = config.norm_pooled ? h : pooled(h, patches);
  if (!head) return read;
  const Tensor label = (*head)(read, ctx);
  if (!head_dist) return label;
  return (label + (*head_dist)(select(h, 1, 1), ctx)) * 0.5;
}

std::string Vit::arch() const {
  const VitConfig& c = config;
  std::string more;
  const auto say = [&](bool differs, const std::string& text) { more += differs ? " " + text : ""; };
  say(c.prompts > 0, fmt::format("prompts={}", c.prompts));
  say(c.distilled && !c.dist_head, "dist_head=none");
  say(c.registers > 0, fmt::format("registers={}", c.registers));
  say(!c.joined, "qkv=separate");
  say(!c.qkv_bias, "qkv_bias=none");
  say(c.gated, "act=swiglu");
  say(!c.gated && c.act != Activation::gelu, fmt::format("act={}", name_of(c.act)));
  say(c.eps != 1e-6, fmt::format("eps={}", c.eps));
  say(c.layer_scale > 0, fmt::format("layer_scale={}", c.layer_scale));
  say(c.pre_norm, "pre_norm=layer");
  say(c.pool != VitPool::token, fmt::format("pool={}", name_of(c.pool)));
  say(c.norm_pooled, "norm=pooled");
  say(c.resample != VitResample::none, fmt::format("resample={}", name_of(c.resample)));
  return fmt::format(
      "{}(image={} patch={} in={} classes={} width={} depth={} heads={} hidden={} dropout={} drop_path={}{})",
      c.distilled ? "deit" : "vit", image_text(c.image, c.image_width), c.patch, c.in_channels, c.classes, c.width,
      c.depth, c.heads, c.hidden, c.dropout, c.drop_path, more);
}

void Vit::visit(Visitor& v) {
  v("patch_embed", patch_embed);
  v("class_token", class_token);
  if (config.distilled) v("dist_token", dist_token);
  if (config.registers > 0) v("registers", registers);
  if (config.prompts > 0) v("prompts", prompts);
  v("positions", positions);
  v("dropout", dropout);
  if (pre_norm) v("pre_norm", *pre_norm);
  v("blocks", blocks);
  v("norm", norm);
  if (head) v("head", *head);
  if (head_dist) v("head_dist", *head_dist);
}

}  // namespace retort
