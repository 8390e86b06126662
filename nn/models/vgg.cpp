#include "nn/models/vgg.h"

namespace retort {

namespace {
struct Depth {
  int depth;
  int convolutions[5];  ///< per stage
};
constexpr Depth kDepths[] = {
    {8, {1, 1, 1, 1, 1}}, {11, {1, 1, 2, 2, 2}}, {13, {2, 2, 2, 2, 2}}, {16, {2, 2, 3, 3, 3}}, {19, {2, 2, 4, 4, 4}}};
constexpr std::int64_t kWidths[] = {64, 128, 256, 512, 512};

const Depth& published(int depth) {
  for (const Depth& d : kDepths)
    if (d.depth == depth) return d;
  throw ConfigError("vgg: depth is 8, 11, 13, 16 or 19; got {}", depth);
}
}  // namespace

Vgg::Vgg(const VggConfig& how) : ConvClassifier(kWidths[4], how.classes), config(how) {
  if (how.pools < 0 || how.pools > 4)
    throw ConfigError("vgg: pools lie between five stages, 0 to 4; got {}", how.pools);
  const Depth& d = published(how.depth);
  std::int64_t in = how.in_channels;
  for (int i = 0; i < 5; ++i) {
    stages.emplace_back(in, kWidths[i], d.convolutions[i], i > 0 && i <= how.pools, ConvBlockOptions{.bias = true});
    in = kWidths[i];
  }
  set_kernel_init(*this, he_normal_of_outputs);
  head.weight.init = Init::normal(0.01);
  name_modules(*this);
}

std::string Vgg::arch() const {
  return fmt::format("vgg(in={} classes={} depth={} pools={})", config.in_channels, config.classes, config.depth,
                     config.pools);
}

}  // namespace retort
