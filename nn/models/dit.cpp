#include "nn/models/dit.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "nn/checkpoint.h"

namespace retort {

namespace {
DitConfig resolved(DitConfig c) {
  if (c.hidden == 0) c.hidden = 4 * c.width;
  if (c.depth < 1 || c.patch < 1 || c.image < c.patch || c.image % c.patch != 0 || c.width % 4 != 0)
    throw ConfigError("dit: needs a depth of 1, images of whole patches, a width of 4 k; got {}, {} / {} and {}",
                      c.depth, c.image, c.patch, c.width);
  return c;
}

/// Sines and cosines of the column in the first half of the features, of the row in the second: [side^2, width].
Tensor position_table(std::int64_t side, std::int64_t width) {
  const std::int64_t quarter = width / 4;
  std::vector<double> table;
  for (std::int64_t patch = 0; patch < side * side; ++patch)
    for (const std::int64_t at : {patch % side, patch / side})
      for (const bool cosine : {false, true})
        for (std::int64_t i = 0; i < quarter; ++i) {
          const double turn = static_cast<double>(i) / static_cast<double>(quarter);
          const double angle = static_cast<double>(at) * std::pow(10000.0, -turn);
          table.push_back(cosine ? std::cos(angle) : std::sin(angle));
        }
  return Tensor::from(table, {side * side, width});
}

/// x (1 + scale) + shift, with one row of each per sample.
Tensor modulate(const Tensor& x, const Tensor& shift, const Tensor& scale) { return x * (scale + 1.0) + shift; }

/// The parts of modulation(c), each [n, 1, width].
std::vector<Tensor> modulations(const Linear& modulation, const Tensor& c, int parts, Ctx& ctx) {
  return chunk(unsqueeze(modulation(c, ctx), 1), parts, -1);
}

void start_at_zero(Linear& linear) { linear.weight.init = Init::constant(0); }
}  // namespace

DitBlock::DitBlock(const DitConfig& how)
    : norm1(how.width, 1e-6, false),
      norm2(how.width, 1e-6, false),
      attn({.width = how.width, .heads = how.heads}),
      mlp(how.width, how.hidden, Activation::gelu_tanh),
      modulation(how.width, 6 * how.width),
      attn_dropout(how.dropout),
      mlp_dropout(how.dropout) {
  start_at_zero(modulation);
}

Tensor DitBlock::operator()(const Tensor& x, const Tensor& c, Ctx& ctx) const {
  const std::vector<Tensor> m = modulations(modulation, c, 6, ctx);
  const Tensor mixed = attn(modulate(norm1(x, ctx), m[0], m[1]), ctx);
  if (ctx.finished()) return {};
  const Tensor h = x + m[2] * attn_dropout(mixed, ctx);
  const Tensor y = h + m[5] * mlp_dropout(mlp(modulate(norm2(h, ctx), m[3], m[4]), ctx), ctx);
  ctx.tap(*this, "out", y);
  return y;
}

void DitBlock::visit(Visitor& v) {
  v("attn", attn);
  v("mlp", mlp);
  v("modulation", modulation);
  v("attn_dropout", attn_dropout);
  v("mlp_dropout", mlp_dropout);
}

Dit::Dit(const DitConfig& how)
    : config(resolved(how)),
      patch_embed(how.in_channels, how.width, how.patch),
      positions(position_table(config.image / config.patch, config.width)),
      time_embed(how.width, false),
      labels(how.classes, how.label_drop),
      label_embed(how.classes + 1, how.width),
      norm(how.width, 1e-6, false),
      modulation(how.width, 2 * how.width),
      head(how.width, how.patch * how.patch * how.out_channels) {
  if (config.end_time) end_embed.emplace(config.width, true);
  blocks.reserve(static_cast<std::size_t>(config.depth));
  for (std::int64_t i = 0; i < config.depth; ++i) blocks.emplace_back(config);
  // As a matrix [width, inputs of a patch], not as a convolution.
  const auto fans = static_cast<double>(config.in_channels * config.patch * config.patch + config.width);
  patch_embed.proj.weight.init = Init::uniform(std::sqrt(6 / fans));
  start_at_zero(modulation);
  start_at_zero(head);
  name_modules(*this);
}

/// What all blocks share, [n, width]: times and label, after SiLU.
Tensor Dit::condition(const Tensor& x, const Conditions& given, Ctx& ctx) const {
  if (given.s.defined() != config.end_time)
    throw ConfigError("dit: a net with {} takes {} end time", config.end_time ? "two times" : "one time",
                      config.end_time ? "an" : "no");
  if (given.augment.defined()) throw ConfigError("dit: it takes no augmentation; got {}", given.augment.str());
  Tensor c = time_embed(given.t, x.dtype(), ctx);
  if (end_embed) c = c + (*end_embed)(given.s, x.dtype(), ctx);
  return silu(c + label_embed(labels(given.label, x.size(0), x.device(), ctx), ctx));
}

/// [n, patches, patch patch out_channels] -> [n, out_channels, image, image], channels-last.
Tensor Dit::image_of(const Tensor& patches) const {
  const std::int64_t n = patches.size(0), p = config.patch, side = config.image / p, c = config.out_channels;
  const Tensor grid = permute(reshape(patches, {n, side, side, p, p, c}), {0, 1, 3, 2, 4, 5});
  return permute(reshape(grid, {n, config.image, config.image, c}), {0, 3, 1, 2});
}

Tensor Dit::forward(const Tensor& x, const Conditions& given, Ctx& ctx) const {
  if (x.rank() != 4 || x.size(2) != config.image || x.size(3) != config.image)
    throw ShapeError("dit: samples must be [n, {}, {}, {}]; got {}", config.in_channels, config.image, config.image,
                     x.str());
  const Tensor in = cast(x, inner_dtype(x, ctx));
  Tensor h = patch_embed(in, ctx) + cast(positions.value, in.dtype());
  if (ctx.finished()) return {};
  const Tensor c = condition(in, given, ctx);
  for (const DitBlock& block : blocks) {
    const auto run = [&block](std::span<const Tensor> args, Ctx& inner) { return block(args[0], args[1], inner); };
    const Tensor args[] = {h, c};
    h = ctx.recompute ? checkpoint(block, run, args, ctx) : run(args, ctx);
    if (ctx.finished()) return {};
  }
  const std::vector<Tensor> m = modulations(modulation, c, 2, ctx);
  return cast(image_of(head(modulate(norm(h, ctx), m[0], m[1]), ctx)), x.dtype());
}

std::string Dit::arch() const {
  const DitConfig& c = config;
  return fmt::format(
      "dit(image={} patch={} in={} out={} classes={} width={} depth={} heads={} hidden={} label_drop={} times={} "
      "dropout={})",
      c.image, c.patch, c.in_channels, c.out_channels, c.classes, c.width, c.depth, c.heads, c.hidden, c.label_drop,
      c.end_time ? 2 : 1, c.dropout);
}

void Dit::visit(Visitor& v) {
  v("patch_embed", patch_embed);
  v("positions", positions);
  v("time_embed", time_embed);
  if (end_embed) v("end_embed", *end_embed);
  v("labels", labels);
  v("label_embed", label_embed);
  v("blocks", blocks);
  v("modulation", modulation);
  v("head", head);
}

}  // namespace retort
