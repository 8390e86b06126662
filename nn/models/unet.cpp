#include "nn/models/unet.h"

#include <algorithm>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "nn/checkpoint.h"
#include "nn/model.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
constexpr double kSkipScale = std::numbers::sqrt2 / 2;
constexpr double kLastGain = 1e-5;  // of what ends a branch: blocks start near the identity

const UnetConfig& checked(const UnetConfig& c) {
  const auto levels = static_cast<int>(c.mult.size());
  if (levels == 0 || levels > 16 || c.blocks < 1 || c.image % (std::int64_t{1} << (levels - 1)) != 0)
    throw ConfigError("unet: the image must halve once per level after the first; got {} and mult {}", c.image,
                      widths_text(c.mult));
  if (c.width % 4 != 0) throw ConfigError("unet: the width must be a multiple of 4; got {}", c.width);
  return c;
}

GroupNorm norm_over(std::int64_t channels) { return {channels, std::min<std::int64_t>(32, channels / 4), 1e-6}; }

Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, double gain = 1) {
  Conv2d c(in, out, kernel, {.padding = kernel / 2});
  c.weight.init = Init::xavier_uniform(c.weight.value.shape(), gain);
  return c;
}

Tensor resized(const Tensor& x, Resample how) {
  if (how == Resample::none) return x;
  if (how == Resample::down) return avg_pool2d(x, {.kernel = 2});
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  // Channels stay innermost: one copy, in the arrangement convolutions read.
  const Tensor cells = reshape(permute(x, {0, 2, 3, 1}), {n, h, 1, w, 1, c});
  return permute(reshape(broadcast_to(cells, {n, h, 2, w, 2, c}), {n, 2 * h, 2 * w, c}), {0, 3, 1, 2});
}

/// Attention between the positions of an image [n, c, h, w].
Tensor attend(const SelfAttention& attn, const Tensor& x, Ctx& ctx) {
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  const Tensor y = attn(reshape(permute(x, {0, 2, 3, 1}), {n, h * w, c}), ctx);
  if (ctx.finished()) return {};
  return permute(reshape(y, {n, h, w, c}), {0, 3, 1, 2});
}

/// Runs the blocks of one forward over a moving image and its condition.
struct Runner {
  const Tensor& condition;
  Ctx& ctx;
  Tensor operator()(const UnetBlock& block, const Tensor& x) const {
    if (ctx.finished()) return {};
    const auto run = [&block](std::span<const Tensor> args, Ctx& c) { return block(args[0], args[1], c); };
    const Tensor args[] = {x, condition};
    return ctx.recompute ? checkpoint(block, run, args, ctx) : run(args, ctx);
  }
};
}  // namespace

UnetBlock::UnetBlock(const Options& how)
    : resample(how.resample),
      norm0(norm_over(how.in)),
      conv0(conv(how.in, how.out, 3)),
      affine(how.condition, how.out),
      norm1(norm_over(how.out)),
      dropout(how.dropout),
      conv1(conv(how.out, how.out, 3, kLastGain)) {
  if (how.in != how.out || resample != Resample::none) skip.emplace(conv(how.in, how.out, 1));
  if (!how.attends) return;
  norm2.emplace(norm_over(how.out));
  attn.emplace(AttentionConfig{.width = how.out});
  attn->qkv->weight.init = Init::xavier_uniform(attn->qkv->weight.value.shape(), std::sqrt(0.2));
  attn->out.weight.init = Init::xavier_uniform(attn->out.weight.value.shape(), kLastGain);
}

Tensor UnetBlock::operator()(const Tensor& x, const Tensor& condition, Ctx& ctx) const {
  Tensor h = conv0(resized(silu(norm0(x, ctx)), resample), ctx);
  h = h + unsqueeze(unsqueeze(affine(condition, ctx), -1), -1);
  h = conv1(dropout(silu(norm1(h, ctx)), ctx), ctx);
  h = (h + (skip ? (*skip)(resized(x, resample), ctx) : x)) * kSkipScale;
  if (attn) {
    const Tensor mixed = attend(*attn, (*norm2)(h, ctx), ctx);
    if (ctx.finished()) return {};
    h = (h + mixed) * kSkipScale;
  }
  ctx.tap(*this, "out", h);
  return h;
}

void UnetBlock::visit(Visitor& v) {
  v("norm0", norm0);
  v("conv0", conv0);
  v("affine", affine);
  v("norm1", norm1);
  v("dropout", dropout);
  v("conv1", conv1);
  if (skip) v("skip", *skip);
  if (norm2) v("norm2", *norm2);
  if (attn) v("attn", *attn);
}

void UnetLevel::visit(Visitor& v) {
  if (resample) v("resample", *resample);
  v("blocks", blocks);
}

Unet::Unet(const UnetConfig& how)
    : config(checked(how)),
      labels(how.classes, how.label_drop),
      embed0(how.width, how.width * how.embed_mult),
      embed1(how.width * how.embed_mult, how.width * how.embed_mult),
      stem(conv(how.in_channels, how.width, 3)),
      norm(norm_over(how.width * how.mult.front())),
      head(conv(how.width * how.mult.front(), how.out_channels, 3, kLastGain)) {
  if (config.classes > 0) label_embed.emplace(config.classes, config.width);
  if (config.augment > 0) augment_embed.emplace(config.augment, config.width, false);
  build_levels();
  name_modules(*this);
}

void Unet::build_levels() {
  UnetBlock::Options block{.in = 0, .out = 0, .condition = config.width * config.embed_mult};
  block.dropout = config.dropout;
  const auto made = [&block](std::int64_t in, std::int64_t out, Resample resample, bool attends) {
    block.in = in;
    block.out = out;
    block.resample = resample;
    block.attends = attends;
    return UnetBlock(block);
  };
  const std::size_t levels = config.mult.size();
  const auto attends = [this](std::size_t level) {
    return std::find(config.attention.begin(), config.attention.end(), config.image >> level) != config.attention.end();
  };
  down.resize(levels);
  up.resize(levels);
  std::int64_t channels = config.width;
  std::vector<std::int64_t> skips{channels};
  for (std::size_t level = 0; level < levels; ++level) {
    if (level > 0) {
      down[level].resample.emplace(made(channels, channels, Resample::down, false));
      skips.push_back(channels);
    }
    for (std::int64_t i = 0; i < config.blocks; ++i) {
      const std::int64_t out = config.width * config.mult[level];
      down[level].blocks.push_back(made(channels, out, Resample::none, attends(level)));
      skips.push_back(channels = out);
    }
  }
  mid.push_back(made(channels, channels, Resample::none, true));
  mid.push_back(made(channels, channels, Resample::none, false));
  for (std::size_t level = levels; level-- > 0;) {
    if (level + 1 < levels) up[level].resample.emplace(made(channels, channels, Resample::up, false));
    for (std::int64_t i = 0; i <= config.blocks; ++i) {
      const std::int64_t out = config.width * config.mult[level];
      const bool last = i == config.blocks;
      up[level].blocks.push_back(made(channels + skips.back(), out, Resample::none, last && attends(level)));
      skips.pop_back();
      channels = out;
    }
  }
}

/// What all blocks share, [n, width * embed_mult], after SiLU.
Tensor Unet::condition(const Tensor& x, const Conditions& given, Ctx& ctx) const {
  if (given.s.defined()) throw ConfigError("unet: it takes one time; got an end time {}", given.s.str());
  if (given.augment.defined() && !augment_embed)
    throw ConfigError("unet: it takes no augmentation; got {}", given.augment.str());
  Tensor c = constant_on(cast(sinusoids(given.t, config.width, {.sine_first = true, .endpoint = true}), x.dtype()),
                         x.device());
  const Tensor ids = labels(given.label, x.size(0), x.device(), ctx);
  if (label_embed) {
    // The null class is the zero vector: the last column of the one-hot rows is cut off.
    const Tensor rows = slice(one_hot(ids, config.classes + 1, x.dtype()), 1, 0, config.classes);
    c = c + (*label_embed)(rows * std::sqrt(static_cast<double>(config.classes)), ctx);
  }
  if (given.augment.defined()) c = c + (*augment_embed)(cast(given.augment, x.dtype()), ctx);
  return silu(embed1(silu(embed0(c, ctx)), ctx));
}

Tensor Unet::forward(const Tensor& x, const Conditions& given, Ctx& ctx) const {
  if (x.rank() != 4 || x.size(2) != config.image || x.size(3) != config.image)
    throw ShapeError("unet: samples must be [n, {}, {}, {}]; got {}", config.in_channels, config.image, config.image,
                     x.str());
  const Tensor in = cast(x, inner_dtype(x, ctx)), c = condition(in, given, ctx);
  const Runner run{c, ctx};
  Tensor h = stem(in, ctx);
  std::vector<Tensor> skips{h};
  for (const UnetLevel& level : down) {
    if (level.resample) skips.push_back(h = run(*level.resample, h));
    for (const UnetBlock& block : level.blocks) skips.push_back(h = run(block, h));
    ctx.tap(level, "out", h);
  }
  for (const UnetBlock& block : mid) h = run(block, h);
  for (std::size_t level = up.size(); level-- > 0 && !ctx.finished();) {
    if (up[level].resample) h = run(*up[level].resample, h);
    for (const UnetBlock& block : up[level].blocks) {
      if (ctx.finished()) break;
      const Tensor parts[] = {h, skips.back()};
      skips.pop_back();
      h = run(block, concat(parts, 1));
    }
    ctx.tap(up[level], "out", h);
  }
  if (ctx.finished()) return {};
  return cast(head(silu(norm(h, ctx)), ctx), x.dtype());
}

std::string Unet::arch() const {
  const UnetConfig& c = config;
  return fmt::format(
      "unet(image={} in={} out={} width={} mult={} blocks={} attention={} embed_mult={} classes={} augment={} "
      "label_drop={} dropout={})",
      c.image, c.in_channels, c.out_channels, c.width, widths_text(c.mult), c.blocks, widths_text(c.attention),
      c.embed_mult, c.classes, c.augment, c.label_drop, c.dropout);
}

void Unet::visit(Visitor& v) {
  v("labels", labels);
  if (label_embed) v("label_embed", *label_embed);
  if (augment_embed) v("augment_embed", *augment_embed);
  v("embed0", embed0);
  v("embed1", embed1);
  v("stem", stem);
  v("down", down);
  v("mid", mid);
  v("up", up);
  v("norm", norm);
  v("head", head);
}

}  // namespace retort
