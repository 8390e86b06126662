#include "nn/models/resnet.h"

#include <algorithm>

#include "autograd/ops/pool.h"

namespace retort {

namespace {
struct Depth {
  int depth;
  bool bottleneck;
  int blocks[4];
};
constexpr Depth kDepths[] = {{18, false, {2, 2, 2, 2}},
                             {34, false, {3, 4, 6, 3}},
                             {50, true, {3, 4, 6, 3}},
                             {101, true, {3, 4, 23, 3}},
                             {152, true, {3, 8, 36, 3}}};

std::vector<int> widths_of(const Depth& d) {
  return d.bottleneck ? std::vector<int>{256, 512, 1024, 2048} : std::vector<int>{64, 128, 256, 512};
}

const CifarResNetConfig& checked(const CifarResNetConfig& config) {
  if (config.depth < 8 || (config.depth - 2) % 6 != 0)
    throw ConfigError("resnet_cifar: depth is 6 n + 2 (8, 14, 20, 32, 44, 56, 110); got {}", config.depth);
  return config;
}
}  // namespace

ResNet::ResNet(std::int64_t in, std::int64_t stem_width, const ConvBlockOptions& stem_options, bool pool_after_stem,
               std::int64_t features_width, std::int64_t classes)
    : ConvClassifier(features_width, classes), stem(in, stem_width, stem_options), pool(pool_after_stem) {}

void ResNet::add_stage(std::int64_t width, int depth, bool bottleneck, bool early) {
  const std::int64_t out = bottleneck ? 4 * width : width;
  std::int64_t in = stages.empty() ? stem.conv.weight.value.size(0)
                                   : stages.back().blocks.back().body.back().conv.weight.value.size(0);
  std::int64_t stride = stages.empty() ? 1 : 2;
  Stage<Residual>& stage = stages.emplace_back();
  for (int i = 0; i < depth; ++i) {
    stage.blocks.push_back(bottleneck ? bottleneck_residual(in, width, out, stride) : basic_residual(in, out, stride));
    std::vector<ConvBlock>& body = stage.blocks.back().body;
    if (early) std::swap(body[0].conv.options.stride, body[1].conv.options.stride);
    in = out;
    stride = 1;
  }
}

void ResNet::finish() {
  set_kernel_init(*this, he_normal_of_outputs);
  set_uniform_head(head);
  name_modules(*this);
}

Tensor ResNet::trunk(const Tensor& x, Ctx& ctx) const {
  Tensor h = stem(x, ctx);
  if (ctx.finished()) return {};
  if (pool) h = max_pool2d(h, {.kernel = 3, .stride = 2, .padding = 1});
  return through(stages, std::move(h), ctx);
}

void ResNet::visit_trunk(Visitor& v) {
  v("stem", stem);
  v("stages", stages);
}

CifarResNet::CifarResNet(const CifarResNetConfig& how)
    : ResNet(how.in_channels, how.stem, {}, false, 64 * how.width, how.classes), config(checked(how)) {
  for (const int width : {16, 32, 64}) add_stage(width * how.width, (how.depth - 2) / 6, false);
  finish();
}

std::string CifarResNet::arch() const {
  return fmt::format("resnet_cifar(in={} classes={} depth={} width={} stem={})", config.in_channels, config.classes,
                     config.depth, config.width, config.stem);
}

ResNetConfig ResNetConfig::spelled() const {
  ResNetConfig c = *this;
  const auto published = [&](const Depth& d) { return d.depth == c.depth; };
  const Depth* named = std::find_if(std::begin(kDepths), std::end(kDepths), published);
  if (named != std::end(kDepths)) {
    c.bottleneck = named->bottleneck;
    c.widths = widths_of(*named);
    c.blocks.assign(std::begin(named->blocks), std::end(named->blocks));
  } else if (c.depth != 0) {
    throw ConfigError("resnet: depth is 18, 34, 50, 101 or 152; got {}; hint: resnet_cifar has depths of 6 n + 2",
                      c.depth);
  }
  if (c.widths.empty() || c.widths.size() != c.blocks.size())
    throw ConfigError("resnet: every stage has a width and a number of blocks; got {} and {}", widths_text(c.widths),
                      widths_text(c.blocks));
  for (const int width : c.widths)
    if (c.bottleneck && width % 4 != 0)
      throw ConfigError("resnet: bottlenecks have a quarter of the width; got {}", width);
  if (c.early && !c.bottleneck) throw ConfigError("resnet: only bottlenecks have a first 1x1 convolution");
  return c;
}

ResNetConfig ResNetConfig::named() const {
  ResNetConfig c = *this;
  if (c.depth != 0 || c.stem != 64) return c;
  for (const Depth& d : kDepths)
    if (c.bottleneck == d.bottleneck && c.widths == widths_of(d) &&
        std::equal(c.blocks.begin(), c.blocks.end(), std::begin(d.blocks), std::end(d.blocks)))
      c.depth = d.depth;
  if (c.depth != 0) c.widths = c.blocks = {};
  return c;
}

ImageResNet::ImageResNet(const ResNetConfig& how)
    : ResNet(how.in_channels, how.stem, {.kernel = 7, .stride = 2}, true, how.spelled().widths.back(), how.classes),
      config(how.named()) {
  const ResNetConfig c = how.spelled();
  for (std::size_t i = 0; i < c.widths.size(); ++i)
    add_stage(c.bottleneck ? c.widths[i] / 4 : c.widths[i], c.blocks[i], c.bottleneck, c.early);
  finish();
}

std::string ImageResNet::arch() const {
  const ResNetConfig& c = config;
  const std::string early = c.early ? " stride=first" : "";
  if (c.depth != 0) return fmt::format("resnet(in={} classes={} depth={}{})", c.in_channels, c.classes, c.depth, early);
  return fmt::format("resnet(in={} classes={} stem={} widths={} blocks={} block={}{})", c.in_channels, c.classes,
                     c.stem, widths_text(c.widths), widths_text(c.blocks), c.bottleneck ? "bottleneck" : "basic",
                     early);
}

}  // namespace retort
