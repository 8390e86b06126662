#include "nn/models/plain_convnet.h"

#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
std::int64_t features_of(const PlainConvNetConfig& c) {
  const std::int64_t h = c.height >> c.depth, w = c.width_of_image >> c.depth;
  if (c.depth < 1 || h < 1 || w < 1)
    throw ConfigError("plain_convnet: {} blocks leave nothing of an image of {} x {}", c.depth, c.height,
                      c.width_of_image);
  return c.width * h * w;
}
}  // namespace

PlainConvNet::PlainConvNet(const PlainConvNetConfig& how) : config(how), head(features_of(how), how.classes) {
  for (int i = 0; i < how.depth; ++i) {
    blocks.emplace_back(i == 0 ? how.in_channels : how.width, how.width,
                        ConvBlockOptions{.norm = how.norm, .bias = true});
    blocks.back().conv.weight.init = uniform_of_inputs(blocks.back().conv.weight.value.shape());
    blocks.back().conv.bias.init = blocks.back().conv.weight.init;
  }
  head.weight.init = uniform_of_inputs(head.weight.value.shape());
  head.bias.init = head.weight.init;
  name_modules(*this);
}

Tensor PlainConvNet::forward(const Tensor& x, Ctx& ctx) const {
  Tensor h = x;
  for (const ConvBlock& block : blocks) {
    h = avg_pool2d(block(h, ctx));
    if (ctx.finished()) return {};
  }
  return head(reshape(h, {h.size(0), -1}), ctx);
}

std::string PlainConvNet::arch() const {
  return fmt::format("plain_convnet(in={} height={} image_width={} classes={} width={} depth={} norm={})",
                     config.in_channels, config.height, config.width_of_image, config.classes, config.width,
                     config.depth, name_of(config.norm));
}

void PlainConvNet::visit(Visitor& v) {
  v("blocks", blocks);
  v("head", head);
}

}  // namespace retort
