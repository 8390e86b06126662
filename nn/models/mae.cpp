#include "nn/models/mae.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/image.h"
#include "autograd/ops/index.h"

namespace retort {

namespace {
MaeConfig resolved(MaeConfig c) {
  if (c.depth < 1 || c.decoder_depth < 1 || c.patch < 1 || c.image < c.patch || c.image % c.patch != 0)
    throw ConfigError("mae: needs blocks and images of whole patches; got image {} and patch {}", c.image, c.patch);
  const std::int64_t side = c.image / c.patch, hidden = c.mask.hidden(side * side);
  if (hidden < 1 || hidden >= side * side || c.mask.views < 1 || c.mask.views > 2)
    throw ConfigError("mae: a mask of {} over {} patches in {} views leaves nothing to see or to predict", c.mask.ratio,
                      side * side, c.mask.views);
  if (c.target == 0) c.target = c.in_channels * c.patch * c.patch;
  return c;
}

std::vector<TransformerBlock> stack_of(std::int64_t depth, std::int64_t width, std::int64_t heads) {
  std::vector<TransformerBlock> blocks;
  blocks.reserve(static_cast<std::size_t>(depth));
  for (std::int64_t i = 0; i < depth; ++i)
    blocks.emplace_back(BlockConfig{.attention = {.width = width, .heads = heads}, .hidden = 4 * width, .eps = 1e-6});
  return blocks;
}

/// [n, views k] -> view v as [n, k].
Tensor view_of(const Tensor& indices, int v, int views) {
  const std::int64_t k = indices.size(1) / views;
  return slice(indices, 1, v * k, (v + 1) * k);
}
}  // namespace

PatchMask::Indices PatchMask::of(const Rng& rng, std::uint32_t step, const Tensor& samples, std::int64_t patches,
                                 Device device) const {
  const std::int64_t n = samples.size(0), m = hidden(patches), k = patches - m;
  if (device.kind == DeviceKind::meta || samples.meta())
    return {Tensor::empty({n, views * m}, DType::i64, device), Tensor::empty({n, views * k}, DType::i64, device)};
  const RngKey key = rng.stream("mask", step);
  std::vector<std::int64_t> hide, show;
  for (const std::int64_t sample : samples.values<std::int64_t>()) {
    const RngKey own{key.key ^ (static_cast<std::uint64_t>(sample) * 0x9E3779B97F4A7C15ull), key.step, 0};
    const auto at = [&](std::int64_t i) {
      return static_cast<std::int64_t>(
          permuted_index(own, static_cast<std::uint64_t>(patches), static_cast<std::uint64_t>(i)));
    };
    for (int v = 0; v < views; ++v) {
      const std::int64_t first = v == 0 ? 0 : k;
      for (std::int64_t i = 0; i < patches; ++i) (i >= first && i < first + m ? hide : show).push_back(at(i));
    }
  }
  return {Tensor::of<std::int64_t>(hide, {n, views * m}), Tensor::of<std::int64_t>(show, {n, views * k})};
}

Tensor patches_of(const Tensor& x, std::int64_t patch) {
  const Tensor grid = permute(pixel_unshuffle(x, patch), {0, 2, 3, 1});
  return reshape(grid, {x.size(0), grid.size(1) * grid.size(2), grid.size(3)});
}

Tensor token_rows(const Tensor& x, const Tensor& indices) {
  const Shape wide{indices.size(0), indices.size(1), x.size(2)};
  return gather(x, 1, contiguous(broadcast_to(unsqueeze(indices, -1), wide)));
}

Mae::Mae(const MaeConfig& how)
    : config(resolved(how)),
      patch_embed(how.in_channels, how.width, how.patch),
      class_token({how.width}, Init::normal(0.02), false),
      mask_token({how.decoder_width}, Init::normal(0.02), false),
      blocks(stack_of(how.depth, how.width, how.heads)),
      norm(how.width, 1e-6),
      decoder_embed(how.width, how.decoder_width),
      decoder(stack_of(how.decoder_depth, how.decoder_width, how.decoder_heads)),
      decoder_norm(how.decoder_width, 1e-6),
      head(how.decoder_width, config.target) {
  const std::int64_t side = config.image / config.patch;
  positions = Parameter({1 + side * side, how.width}, Init::normal(0.02), false);
  decoder_positions = Parameter({1 + side * side, how.decoder_width}, Init::normal(0.02), false);
  name_modules(*this);
}

Tensor Mae::forward(const Tensor& x, Ctx& ctx) const {
  const std::int64_t n = x.size(0), side = config.image / config.patch;
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < n; ++i) ids.push_back(i);
  const Tensor samples = ctx.samples.defined() ? ctx.samples : Tensor::of<std::int64_t>(ids, {n});
  const auto at = config.mask.of(ctx.rng, ctx.step, samples, side * side, x.device());
  const Tensor place = ctx(positions);
  const Tensor all = patch_embed(x, ctx) + slice(place, 0, 1);
  const Tensor first = broadcast_to(ctx(class_token) + select(place, 0, 0), {n, 1, config.width});
  Tensors views;
  for (int v = 0; v < config.mask.views; ++v)
    views.push_back(concat(Tensors{first, token_rows(all, view_of(at.visible, v, config.mask.views))}, 1));
  Tensor h = concat(views, 0);
  for (const TransformerBlock& block : blocks) {
    h = block(h, ctx);
    if (ctx.finished()) return {};
  }
  h = norm(h, ctx);
  Tensors seen;
  for (int v = 0; v < config.mask.views; ++v) seen.push_back(slice(slice(h, 0, v * n, (v + 1) * n), 1, 1));
  ctx.tap(norm, "out", concat(seen, 1));
  if (ctx.finished()) return {};
  return decode(h, at, ctx);
}

/// Every place gets its visible patch or the mask token; the answers at hidden places.
Tensor Mae::decode(const Tensor& visible, const PatchMask::Indices& at, Ctx& ctx) const {
  const std::int64_t n = at.hidden.size(0), side = config.image / config.patch, width = config.decoder_width;
  const Tensor embedded = decoder_embed(visible, ctx), place = ctx(decoder_positions);
  const Tensor blank = contiguous(broadcast_to(ctx(mask_token), {n, side * side, width}));
  Tensors answers;
  for (int v = 0; v < config.mask.views; ++v) {
    const Tensor own = slice(embedded, 0, v * n, (v + 1) * n), tokens = slice(own, 1, 1);
    const Tensor index = view_of(at.visible, v, config.mask.views);
    const Tensor filled =
        scatter(blank, 1, contiguous(broadcast_to(unsqueeze(index, -1), tokens.shape())), contiguous(tokens));
    Tensor h = concat(Tensors{slice(own, 1, 0, 1), filled}, 1) + place;
    for (const TransformerBlock& block : decoder) h = block(h, ctx);
    h = head(decoder_norm(slice(h, 1, 1), ctx), ctx);
    answers.push_back(token_rows(h, view_of(at.hidden, v, config.mask.views)));
  }
  return concat(answers, 1);
}

std::string Mae::arch() const {
  const MaeConfig& c = config;
  return fmt::format(
      "mae(image={} patch={} in={} width={} depth={} heads={} decoder_width={} decoder_depth={} decoder_heads={} "
      "target={} mask={} views={})",
      c.image, c.patch, c.in_channels, c.width, c.depth, c.heads, c.decoder_width, c.decoder_depth, c.decoder_heads,
      c.target, c.mask.ratio, c.mask.views);
}

void Mae::visit(Visitor& v) {
  v("patch_embed", patch_embed);
  v("class_token", class_token);
  v("mask_token", mask_token);
  v("positions", positions);
  v("decoder_positions", decoder_positions);
  v("blocks", blocks);
  v("norm", norm);
  v("decoder_embed", decoder_embed);
  v("decoder", decoder);
  v("decoder_norm", decoder_norm);
  v("head", head);
}

}  // namespace retort
