#include "distill/train/model_builders.h"
#include "nn/models/convnet.h"
#include "nn/models/mobilenet.h"
#include "nn/models/plain_convnet.h"
#include "nn/models/resnet.h"
#include "nn/models/shufflenet.h"
#include "nn/models/vgg.h"
#include "nn/models/wrn.h"

namespace retort {

namespace {
constexpr IntBounds kSize{.min = 1};
constexpr IntBounds kDepth{.min = 1, .max = 10000};
constexpr RealBounds kProbability{.min = 0, .max = 1};

/// What every one of them has: channels of the images and classes, from the data set unless the call says otherwise.
template <class Config>
Config sized(CallArgs& args, const ModelSizes& sizes) {
  Config c;
  c.in_channels = args.integer("in", sizes.channels, kSize);
  c.classes = args.integer("classes", sizes.classes, kSize);
  return c;
}
/// Whether the argument is `yes`, which it is by default, and not `no`.
bool one_of_two(CallArgs& args, const std::string& key, const std::string& yes, const std::string& no) {
  const std::string word = args.word(key, yes);
  if (word != yes && word != no) throw ConfigError("{}: {} or {}; got {}", key, yes, no, word);
  return word == yes;
}
}  // namespace

std::unique_ptr<Model> build_convnet(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<ConvNetConfig>(args, sizes);
  c.widths = widths_from_text(args.call("widths").str());
  c.depth = static_cast<int>(args.integer("depth", c.depth, {.min = 1, .max = 100}));
  c.stem = static_cast<int>(args.integer("stem", c.stem, {.min = 0, .max = 100}));
  c.norm = norm_from_name(args.word("norm", std::string(name_of(c.norm))));
  c.act = activation_from_name(args.word("act", std::string(name_of(c.act))));
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<ConvNet>(c);
}

std::unique_ptr<Model> build_plain_convnet(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<PlainConvNetConfig>(args, sizes);
  c.height = args.integer("height", sizes.height, kSize);
  c.width_of_image = args.integer("image_width", sizes.width, kSize);
  c.width = args.integer("width", c.width, kSize);
  c.depth = static_cast<int>(args.integer("depth", c.depth, {.min = 1, .max = 20}));
  c.norm = norm_from_name(args.word("norm", std::string(name_of(c.norm))));
  return std::make_unique<PlainConvNet>(c);
}

std::unique_ptr<Model> build_resnet_cifar(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<CifarResNetConfig>(args, sizes);
  c.depth = static_cast<int>(args.integer("depth", c.depth, kDepth));
  c.width = static_cast<int>(args.integer("width", c.width, {.min = 1, .max = 100}));
  c.stem = args.integer("stem", c.width == 1 ? 16 : 32, kSize);
  return std::make_unique<CifarResNet>(c);
}

std::unique_ptr<Model> build_resnet(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<ResNetConfig>(args, sizes);
  const auto widths = args.optional_call("widths");
  if (widths) {
    c.depth = 0;
    c.widths = widths_from_text(widths->str());
    c.blocks = widths_from_text(args.call("blocks").str());
    c.stem = args.integer("stem", c.stem, kSize);
    c.bottleneck = one_of_two(args, "block", "bottleneck", "basic");
  } else {
    c.depth = static_cast<int>(args.integer("depth", c.depth, kDepth));
  }
  c.early = !one_of_two(args, "stride", "second", "first");
  return std::make_unique<ImageResNet>(c);
}

std::unique_ptr<Model> build_wrn(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<WrnConfig>(args, sizes);
  c.depth = static_cast<int>(args.integer("depth", c.depth, kDepth));
  c.width = static_cast<int>(args.integer("width", c.width, {.min = 1, .max = 100}));
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<WideResNet>(c);
}

std::unique_ptr<Model> build_vgg(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<VggConfig>(args, sizes);
  c.depth = static_cast<int>(args.integer("depth", c.depth, kDepth));
  c.pools = static_cast<int>(args.integer("pools", c.pools, {.min = 0, .max = 4}));
  return std::make_unique<Vgg>(c);
}

std::unique_ptr<Model> build_mobilenet_v2(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<MobileNetV2Config>(args, sizes);
  c.width = args.number("width", c.width, {.max = 100, .above = 0});
  c.dropout = args.number("dropout", c.dropout, kProbability);
  return std::make_unique<MobileNetV2>(c);
}

std::unique_ptr<Model> build_mobilenet_v2_cifar(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<MobileNetV2Config>(args, sizes);
  c.cifar = true;
  c.width = args.number("width", 0.5, {.max = 100, .above = 0});
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<MobileNetV2>(c);
}

std::unique_ptr<Model> build_shufflenet_v1(CallArgs& args, const ModelSizes& sizes) {
  return std::make_unique<ShuffleNetV1>(sized<ShuffleNetV1Config>(args, sizes));
}

std::unique_ptr<Model> build_shufflenet_v2(CallArgs& args, const ModelSizes& sizes) {
  auto c = sized<ShuffleNetV2Config>(args, sizes);
  c.width = args.number("width", c.width, {.max = 2, .above = 0});
  return std::make_unique<ShuffleNetV2>(c);
}

}  // namespace retort
