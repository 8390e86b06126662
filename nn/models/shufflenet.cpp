#include "nn/models/shufflenet.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
constexpr std::int64_t kStem = 24;

struct Width {
  double width;
  std::int64_t stages[3], tail;
};
/// Table 5 of the paper of V2.
constexpr Width kWidths[] = {
    {0.5, {48, 96, 192}, 1024}, {1, {116, 232, 464}, 1024}, {1.5, {176, 352, 704}, 1024}, {2, {224, 488, 976}, 2048}};
constexpr int kBlocks[] = {4, 8, 4};

const Width& published(double width) {
  for (const Width& w : kWidths)
    if (w.width == width) return w;
  throw ConfigError("shufflenet_v2: width is 0.5, 1, 1.5 or 2; got {}", width);
}

ConvBlock pointwise(std::int64_t in, std::int64_t out, Activation act, std::int64_t groups = 1) {
  return {in, out, {.kernel = 1, .groups = groups, .act = act}};
}

ConvBlock depthwise3x3(std::int64_t channels, std::int64_t stride, Activation act) {
  return {channels, channels, {.stride = stride, .groups = channels, .act = act}};
}

Tensor joined(const Tensor& a, const Tensor& b) {
  const Tensor both[] = {a, b};
  return concat(both, 1);
}

/// Every layer starts as PyTorch's do.
void set_uniform_init(ConvClassifier& net) {
  set_kernel_init(net, uniform_of_inputs);
  set_uniform_head(net.head);
}
}  // namespace

Tensor channel_shuffle(const Tensor& x, std::int64_t groups) {
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3);
  if (c % groups != 0) throw ShapeError("channel_shuffle: {} groups do not divide {} channels", groups, c);
  if (groups == 1) return x;
  const Tensor split = reshape(permute(x, {0, 2, 3, 1}), {n, h, w, groups, c / groups});
  return permute(reshape(transpose(split, 3, 4), {n, h, w, c}), {0, 3, 1, 2});
}

ShuffleUnitV1::ShuffleUnitV1(std::int64_t in, std::int64_t out, std::int64_t first_groups, std::int64_t groups,
                             bool halves)
    : reduce(pointwise(in, out / 4, Activation::relu, first_groups)),
      depthwise(depthwise3x3(out / 4, halves ? 2 : 1, Activation::relu)),
      expand(pointwise(out / 4, out, Activation::none, groups)),
      down(halves) {}

Tensor ShuffleUnitV1::operator()(const Tensor& x, Ctx& ctx) const {
  Tensor h = channel_shuffle(reduce(x, ctx), reduce.conv.options.groups);
  h = expand(depthwise(h, ctx), ctx);
  h = down ? joined(h, avg_pool2d(x, {.kernel = 3, .stride = 2, .padding = 1})) : h + x;
  ctx.tap(*this, "pre_act", h);
  h = relu(h);
  ctx.tap(*this, "out", h);
  return h;
}

void ShuffleUnitV1::visit(Visitor& v) {
  v("reduce", reduce);
  v("depthwise", depthwise);
  v("expand", expand);
}

ShuffleUnitV2::ShuffleUnitV2(std::int64_t channels) {
  const std::int64_t half = channels / 2;
  right.push_back(pointwise(half, half, Activation::relu));
  right.push_back(depthwise3x3(half, 1, Activation::none));
  right.push_back(pointwise(half, half, Activation::none));
}

ShuffleUnitV2::ShuffleUnitV2(std::int64_t in, std::int64_t out) {
  left.push_back(depthwise3x3(in, 2, Activation::none));
  left.push_back(pointwise(in, out / 2, Activation::none));
  right.push_back(pointwise(in, out / 2, Activation::relu));
  right.push_back(depthwise3x3(out / 2, 2, Activation::none));
  right.push_back(pointwise(out / 2, out / 2, Activation::none));
}

Tensor ShuffleUnitV2::operator()(const Tensor& x, Ctx& ctx) const {
  const std::int64_t half = x.size(1) / 2;
  Tensor a = left.empty() ? slice(x, 1, 0, half) : x, b = left.empty() ? slice(x, 1, half) : x;
  for (const ConvBlock& block : left) a = block(a, ctx);
  for (const ConvBlock& block : right) b = block(b, ctx);
  // The two sides are only put together before their activation for those who ask.
  const TapId pre_act{path(), "pre_act"};
  if (std::find(ctx.wanted.begin(), ctx.wanted.end(), pre_act) != ctx.wanted.end())
    ctx.tap(*this, "pre_act", joined(a, b));
  const Tensor y = channel_shuffle(joined(left.empty() ? a : relu(a), relu(b)), 2);
  ctx.tap(*this, "out", y);
  return y;
}

void ShuffleUnitV2::visit(Visitor& v) {
  v("left", left);
  v("right", right);
}

ShuffleNetV1::ShuffleNetV1(const ShuffleNetV1Config& how)
    : ConvClassifier(960, how.classes), config(how), stem(pointwise(how.in_channels, kStem, Activation::relu)) {
  constexpr std::int64_t kGroups = 3;
  std::int64_t in = kStem;
  std::int64_t out = 240;
  for (const int depth : kBlocks) {
    auto& blocks = stages.emplace_back().blocks;
    // The first 1x1 convolution has too few input channels for groups; a halving unit also passes its input on.
    blocks.emplace_back(in, out - in, in == kStem ? 1 : kGroups, kGroups, true);
    for (int i = 1; i < depth; ++i) blocks.emplace_back(out, out, kGroups, kGroups, false);
    in = out;
    out *= 2;
  }
  set_uniform_init(*this);
  name_modules(*this);
}

Tensor ShuffleNetV1::trunk(const Tensor& x, Ctx& ctx) const {
  Tensor h = stem(x, ctx);
  return ctx.finished() ? Tensor() : through(stages, std::move(h), ctx);
}

void ShuffleNetV1::visit_trunk(Visitor& v) {
  v("stem", stem);
  v("stages", stages);
}

std::string ShuffleNetV1::arch() const {
  return fmt::format("shufflenet_v1(in={} classes={})", config.in_channels, config.classes);
}

ShuffleNetV2::ShuffleNetV2(const ShuffleNetV2Config& how)
    : ConvClassifier(published(how.width).tail, how.classes),
      config(how),
      stem(pointwise(how.in_channels, kStem, Activation::relu)),
      tail(pointwise(published(how.width).stages[2], published(how.width).tail, Activation::relu)) {
  std::int64_t in = kStem;
  for (int s = 0; s < 3; ++s) {
    const std::int64_t out = published(how.width).stages[s];
    auto& blocks = stages.emplace_back().blocks;
    blocks.emplace_back(in, out);
    for (int i = 1; i < kBlocks[s]; ++i) blocks.emplace_back(out);
    in = out;
  }
  set_uniform_init(*this);
  name_modules(*this);
}

Tensor ShuffleNetV2::trunk(const Tensor& x, Ctx& ctx) const {
  Tensor h = stem(x, ctx);
  if (ctx.finished()) return {};
  const Tensor y = through(stages, std::move(h), ctx);
  return y.defined() ? tail(y, ctx) : y;
}

void ShuffleNetV2::visit_trunk(Visitor& v) {
  v("stem", stem);
  v("stages", stages);
  v("tail", tail);
}

std::string ShuffleNetV2::arch() const {
  return fmt::format("shufflenet_v2(in={} classes={} width={})", config.in_channels, config.classes, config.width);
}

}  // namespace retort
