// distill/convert/image_families.cpp -- networks over images of transformers: ResNet, ViT, DeiT, DINOv2.
#include <fmt/ranges.h>

#include "distill/convert/family.h"
#include "nn/models/vit.h"
#include "tensor/error.h"

namespace retort {

namespace {
constexpr const char* kResNetNames = R"(
rename:
  - {from: "{P}embedder.embedder.convolution.*", to: "stem.conv.*"}
  - {from: "{P}embedder.embedder.normalization.*", to: "stem.norm.*"}
  - {from: "{P}encoder.stages.*.layers.*.layer.*.convolution.*", to: "stages.*.blocks.*.body.*.conv.*"}
  - {from: "{P}encoder.stages.*.layers.*.layer.*.normalization.*", to: "stages.*.blocks.*.body.*.norm.*"}
  - {from: "{P}encoder.stages.*.layers.*.shortcut.convolution.*", to: "stages.*.blocks.*.shortcut.conv.*"}
  - {from: "{P}encoder.stages.*.layers.*.shortcut.normalization.*", to: "stages.*.blocks.*.shortcut.norm.*"}
  - {from: "classifier.1.*", to: "head.*"}
drop: ["**.num_batches_tracked"]
)";

/// ViT, DeiT and DINOv2 have the same embeddings and attention; {M} renames the rest of a block and the heads.
constexpr const char* kVitNames = R"(
rename:
  - {from: "{P}embeddings.cls_token", to: "class_token"}
  - {from: "{P}embeddings.distillation_token", to: "dist_token"}
  - {from: "{P}embeddings.register_tokens", to: "registers"}
  - {from: "{P}embeddings.position_embeddings", to: "positions"}
  - {from: "{P}embeddings.patch_embeddings.projection.*", to: "patch_embed.proj.*"}
  - {from: "{P}encoder.layer.*.attention.attention.query.*", to: "blocks.*.attn.q.*"}
  - {from: "{P}encoder.layer.*.attention.attention.key.*", to: "blocks.*.attn.k.*"}
  - {from: "{P}encoder.layer.*.attention.attention.value.*", to: "blocks.*.attn.v.*"}
  - {from: "{P}encoder.layer.*.attention.output.dense.*", to: "blocks.*.attn.out.*"}
  - {from: "{P}layernorm.*", to: "norm.*"}
{M}
squeeze:
  - {name: "{P}embeddings.cls_token", axes: 2}
  - {name: "{P}embeddings.distillation_token", axes: 2}
  - {name: "{P}embeddings.register_tokens", axes: 1}
  - {name: "{P}embeddings.position_embeddings", axes: 1}
drop: ["{P}embeddings.mask_token", "{P}pooler.dense.*"]
)";
constexpr const char* kVitBlock = R"(
  - {from: "{P}encoder.layer.*.layernorm_before.*", to: "blocks.*.norm1.*"}
  - {from: "{P}encoder.layer.*.layernorm_after.*", to: "blocks.*.norm2.*"}
  - {from: "{P}encoder.layer.*.intermediate.dense.*", to: "blocks.*.mlp.up.*"}
  - {from: "{P}encoder.layer.*.output.dense.*", to: "blocks.*.mlp.down.*"}
  - {from: "{H}.*", to: "head.*"}
  - {from: "distillation_classifier.*", to: "head_dist.*"})";
constexpr const char* kDinoBlock = R"(
  - {from: "{P}encoder.layer.*.norm1.*", to: "blocks.*.norm1.*"}
  - {from: "{P}encoder.layer.*.norm2.*", to: "blocks.*.norm2.*"}
  - {from: "{P}encoder.layer.*.layer_scale1.lambda1", to: "blocks.*.scale1.weight"}
  - {from: "{P}encoder.layer.*.layer_scale2.lambda1", to: "blocks.*.scale2.weight"}
  - {from: "{P}encoder.layer.*.mlp.fc1.*", to: "blocks.*.mlp.up.*"}
  - {from: "{P}encoder.layer.*.mlp.weights_in.*", to: "blocks.*.mlp.in.*"}
  - {from: "{P}encoder.layer.*.mlp.{D}.*", to: "blocks.*.mlp.down.*"}
  - {from: "classifier.*", to: "head.*"})";

std::string resnet_arch(Reading& r) {
  ModelConfig& c = r.config;
  c.expect("hidden_act", "relu");
  c.expect("downsample_in_first_stage", false);
  c.ignore({"out_features", "out_indices", "stage_names"});  // of a backbone
  const std::string block = c.word("layer_type", "bottleneck");
  if (block != "basic" && block != "bottleneck")
    c.fail("layer_type", "only basic and bottleneck are supported; got " + block);
  const bool early = c.flag("downsample_in_bottleneck", false) && block == "bottleneck";
  const auto widths = c.integers("hidden_sizes", {256, 512, 1024, 2048}), depths = c.integers("depths", {3, 4, 6, 3});
  if (r.file.find("classifier.1.weight") == nullptr)
    c.fail("architectures", "the file has no classifier.1.weight; a resnet without a classifier is not supported");
  if (widths.size() != depths.size())
    c.fail("depths", fmt::format("there are {} stages and {} hidden_sizes", depths.size(), widths.size()));
  return fmt::format("resnet(in={} classes={} widths={} blocks={} stem={} block={} stride={})",
                     c.integer("num_channels", 3), labels_in(c), fmt::join(widths, "x"), fmt::join(depths, "x"),
                     c.integer("embedding_size", 64), block, early ? "first" : "second");
}

/// What ViT's relatives have in common, without the closing parenthesis.
std::string vit_like(Reading& r, const char* name, std::int64_t patch, double eps) {
  ModelConfig& c = r.config;
  const auto image = c.extents("image_size", 224), tile = c.extents("patch_size", patch);
  if (tile.first != tile.second)
    c.fail("patch_size", fmt::format("only square patches are supported; got {} x {}", tile.first, tile.second));
  const bool bias = c.flag("qkv_bias", true);
  return fmt::format("{}(image={} patch={} in={} width={} depth={} heads={} qkv=separate qkv_bias={} eps={}", name,
                     image_text(image.first, image.second), tile.first, c.integer("num_channels", 3),
                     c.integer("hidden_size", 768), c.integer("num_hidden_layers", 12),
                     c.integer("num_attention_heads", 12), bias ? "own" : "none", c.real("layer_norm_eps", eps));
}

std::string vit_arch(Reading& r, const char* name) {
  ModelConfig& c = r.config;
  c.ignore({"encoder_stride", "pooler_output_size", "pooler_act"});  // of masked images, and of the dropped pooler
  std::string text = vit_like(r, name, 16, 1e-12);
  text +=
      fmt::format(" hidden={} act={}", c.integer("intermediate_size", 3072), activation_in(c, "hidden_act", "gelu"));
  const bool heads = r.file.find("cls_classifier.weight") != nullptr;
  if (!heads && r.file.find("classifier.weight") == nullptr) return text + " classes=0 pool=none)";
  if (name == std::string("deit") && !heads) text += " dist_head=none";
  return text + fmt::format(" classes={})", labels_in(c));
}

std::string dinov2_arch(Reading& r, bool registers) {
  ModelConfig& c = r.config;
  c.ignore({"apply_layernorm", "drop_path_rate", "out_features", "out_indices", "reshape_hidden_states", "stage_names",
            "use_mask_token"});
  std::string text = vit_like(r, "dinov2", registers ? 16 : 14, 1e-6);
  const std::int64_t width = c.integer("hidden_size", 768), ratio = c.integer("mlp_ratio", 4);
  const std::int64_t wide = width * ratio;
  if (wide > INT32_MAX) c.fail("mlp_ratio", fmt::format("{} times a width of {} is too much", ratio, width));
  if (c.flag("use_swiglu_ffn", false)) {
    c.ignore({"hidden_act"});  // which nothing has then
    text += fmt::format(" act=swiglu hidden={}", (wide * 2 / 3 + 7) / 8 * 8);
  } else {
    text += fmt::format(" act={} hidden={}", activation_in(c, "hidden_act", "gelu"), wide);
  }
  text +=
      fmt::format(" layer_scale={} resample={}", c.real("layerscale_value", 1), registers ? "antialias" : "bicubic");
  if (registers) text += fmt::format(" registers={}", c.integer("num_register_tokens", 4, 0));
  if (r.file.find("classifier.weight") == nullptr) return text + ")";
  return text + fmt::format(" pool=token_avg classes={})", labels_in(c));
}

std::string with_block(std::string names, const std::string& block) {
  return names.replace(names.find("{M}"), 3, block.substr(1));
}
}  // namespace

std::string activation_in(ModelConfig& config, const std::string& key, const std::string& fallback) {
  const std::map<std::string, std::string> known{{"gelu", "gelu"},
                                                 {"gelu_new", "gelu_tanh"},
                                                 {"gelu_pytorch_tanh", "gelu_tanh"},
                                                 {"quick_gelu", "quick_gelu"},
                                                 {"relu", "relu"}};
  const std::string word = config.word(key, fallback);
  if (!known.contains(word)) config.fail(key, "only gelu, gelu_new, quick_gelu and relu are supported; got " + word);
  return known.at(word);
}

std::int64_t labels_in(ModelConfig& config) { return config.entries("id2label", config.integer("num_labels", 2)); }

const std::map<std::string, Family>& image_families() {
  static const std::string vit = with_block(kVitNames, kVitBlock), dino = with_block(kVitNames, kDinoBlock);
  static const std::map<std::string, Family> table{
      {"deit",
       {.names = vit,
        .prefix = "deit.",
        .embedding = "embeddings.cls_token",
        .arch = [](Reading& r) { return vit_arch(r, "deit"); }}},
      {"dinov2",
       {.names = dino,
        .prefix = "dinov2.",
        .embedding = "embeddings.cls_token",
        .arch = [](Reading& r) { return dinov2_arch(r, false); }}},
      {"dinov2_with_registers",
       {.names = dino,
        .prefix = "dinov2_with_registers.",
        .embedding = "embeddings.cls_token",
        .arch = [](Reading& r) { return dinov2_arch(r, true); }}},
      {"resnet",
       {.names = kResNetNames,
        .prefix = "resnet.",
        .embedding = "embedder.embedder.convolution.weight",
        .arch = resnet_arch}},
      {"vit", {.names = vit, .prefix = "vit.", .embedding = "embeddings.cls_token", .arch = [](Reading& r) {
                 return vit_arch(r, "vit");
               }}}};
  return table;
}

}  // namespace retort
