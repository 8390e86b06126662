#include "distill/train/models.h"

#include <map>

#include "distill/data/pixel_set.h"
#include "distill/diffusion/image_net.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/text/table_lm.h"
#include "distill/train/model_builders.h"
#include "nn/models/mlp.h"

namespace retort {

namespace {
using Builder = std::unique_ptr<Model> (*)(CallArgs&, const ModelSizes&);

std::unique_ptr<Model> build_mlp(CallArgs& args, const ModelSizes& sizes) {
  MlpConfig c;
  c.in = args.integer("in", sizes.channels * sizes.height * sizes.width, {.min = 1});
  c.classes = args.integer("classes", sizes.classes, {.min = 1});
  c.widths = widths_from_text(args.call("widths").str());
  c.act = activation_from_name(args.word("act", std::string(name_of(c.act))));
  c.dropout = args.number("dropout", 0.0, {.min = 0, .max = 1});
  return std::make_unique<MlpNet>(c);
}

std::unique_ptr<Model> build_affine(CallArgs& args, const ModelSizes&) {
  const std::int64_t size = args.integer("size", {.min = 1});
  const double shift = args.number("shift", 0.0), scale = args.number("scale", 1.0);
  return std::make_unique<AffineNet>(size, shift, scale);
}

std::unique_ptr<Model> build_table(CallArgs& args, const ModelSizes& sizes) {
  const std::int64_t vocab = args.integer("vocab", sizes.classes, {.min = 2});
  const std::int64_t order = args.integer("order", 1, {.min = 1});
  return std::make_unique<TableLm>(vocab, order, args.number("spread", 1.0, {.min = 0}));
}

std::unique_ptr<Model> build_image_of(CallArgs& args, const ModelSizes& sizes) {
  return build_image(args, {sizes.channels, sizes.height, sizes.width});
}

std::unique_ptr<Model> build_pixel_set(CallArgs& args, const ModelSizes& sizes) {
  PixelSetConfig c;
  c.classes = sizes.classes;
  c.image = {sizes.channels, sizes.height, sizes.width};
  return build_pixels(args, c);
}

/// The entry of a named size of ViT, or of DeiT, which has the distillation token.
template <VitConfig (*Size)(), bool Distilled>
std::unique_ptr<Model> build_vit_of(CallArgs& args, const ModelSizes& sizes) {
  VitConfig c = Size();
  c.distilled = Distilled;
  return build_vit(args, sizes, c);
}

const std::map<std::string, Builder, std::less<>>& builders() {
  static const std::map<std::string, Builder, std::less<>> table{
      {"affine", build_affine},
      {"bert", build_bert},
      {"clip_text", build_clip_text},
      {"clip_vision", build_clip_vision},
      {"convnet", build_convnet},
      {"deit", build_vit_of<VitConfig::tiny, true>},
      {"deit_base", build_vit_of<VitConfig::base, true>},
      {"deit_small", build_vit_of<VitConfig::small, true>},
      {"deit_tiny", build_vit_of<VitConfig::tiny, true>},
      {"dinov2", build_vit_of<VitConfig::dinov2, false>},
      {"gpt2", build_gpt2},
      {"image", build_image_of},
      {"llama", build_llama},
      {"mae", build_mae},
      {"mlp", build_mlp},
      {"mobilenet_v2", build_mobilenet_v2},
      {"mobilenet_v2_cifar", build_mobilenet_v2_cifar},
      {"pixels", build_pixel_set},
      {"plain_convnet", build_plain_convnet},
      {"resnet", build_resnet},
      {"resnet_cifar", build_resnet_cifar},
      {"roberta", build_roberta},
      {"shufflenet_v1", build_shufflenet_v1},
      {"shufflenet_v2", build_shufflenet_v2},
      {"table", build_table},
      {"vgg", build_vgg},
      {"vit", build_vit_of<VitConfig::tiny, false>},
      {"vit_base", build_vit_of<VitConfig::base, false>},
      {"vit_large", build_vit_of<VitConfig::large, false>},
      {"vit_small", build_vit_of<VitConfig::small, false>},
      {"vit_tiny", build_vit_of<VitConfig::tiny, false>},
      {"wrn", build_wrn},
  };
  return table;
}
}  // namespace

std::unique_ptr<Model> build_model(const Call& call, const ModelSizes& sizes) {
  std::unique_ptr<Model> model;
  if (is_denoiser(call)) {
    model = build_denoiser(call, sizes);
  } else {
    CallArgs args(call);
    model = lookup(builders(), call, "architecture")(args, sizes);
    args.done();
  }
  name_modules(*model);
  return model;
}

}  // namespace retort
