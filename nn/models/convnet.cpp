#include "nn/models/convnet.h"

#include "autograd/ops/pool.h"

namespace retort {

namespace {
const ConvNetConfig& checked(const ConvNetConfig& config) {
  if (config.widths.empty() || config.depth < 1)
    throw ConfigError("convnet: needs at least one width and a depth of 1; got widths {} and depth {}",
                      widths_text(config.widths), config.depth);
  return config;
}
}  // namespace

ConvStage::ConvStage(std::int64_t in, std::int64_t out, int depth, bool pool_first, const ConvBlockOptions& how)
    : pool(pool_first) {
  for (int i = 0; i < depth; ++i) blocks.emplace_back(i == 0 ? in : out, out, how);
}

Tensor ConvStage::operator()(Tensor x, Ctx& ctx) const {
  if (pool) x = max_pool2d(x);
  return Stage<ConvBlock>::operator()(std::move(x), ctx);
}

ConvNet::ConvNet(const ConvNetConfig& how)
    : ConvClassifier(checked(how).widths.back(), how.classes, how.dropout), config(how) {
  std::int64_t in = how.in_channels;
  for (const int width : how.widths) {
    const bool first = stages.empty();
    const int depth = first && how.stem > 0 ? how.stem : how.depth;
    stages.emplace_back(in, width, depth, !first, ConvBlockOptions{.norm = how.norm, .act = how.act});
    in = width;
  }
  name_modules(*this);
}

std::string ConvNet::arch() const {
  return fmt::format("convnet(in={} classes={} widths={} depth={} stem={} norm={} act={} dropout={})",
                     config.in_channels, config.classes, widths_text(config.widths), config.depth, config.stem,
                     name_of(config.norm), name_of(config.act), config.dropout);
}

}  // namespace retort
