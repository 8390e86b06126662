#include "nn/models/resnet.h"

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

const Depth& published(int depth) {
  for (const Depth& d : kDepths)
    if (d.depth == depth) return d;
  throw ConfigError("resnet: depth is 18, 34, 50, 101 or 152; got {}; hint: resnet_cifar has depths of 6 n + 2", depth);
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

void ResNet::add_stage(std::int64_t width, int depth, bool bottleneck) {
  const std::int64_t out = bottleneck ? 4 * width : width;
  std::int64_t in = stages.empty() ? stem.conv.weight.value.size(0)
                                   : stages.back().blocks.back().body.back().conv.weight.value.size(0);
  std::int64_t stride = stages.empty() ? 1 : 2;
  Stage<Residual>& stage = stages.emplace_back();
  for (int i = 0; i < depth; ++i) {
    stage.blocks.push_back(bottleneck ? bottleneck_residual(in, width, out, stride) : basic_residual(in, out, stride));
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

ImageResNet::ImageResNet(const ResNetConfig& how)
    : ResNet(how.in_channels, 64, {.kernel = 7, .stride = 2}, true, published(how.depth).bottleneck ? 2048 : 512,
             how.classes),
      config(how) {
  const Depth& d = published(how.depth);
  std::int64_t width = 64;
  for (const int blocks : d.blocks) {
    add_stage(width, blocks, d.bottleneck);
    width *= 2;
  }
  finish();
}

std::string ImageResNet::arch() const {
  return fmt::format("resnet(in={} classes={} depth={})", config.in_channels, config.classes, config.depth);
}

}  // namespace retort
