// distill/convert/described_encoders.cpp -- our encoders of texts and images as transformers would save them; vision
// transformers with one projection for queries, keys and values as timm would.
#include <cmath>
#include <nlohmann/json.hpp>

#include "distill/convert/family.h"
#include "nn/models/bert.h"
#include "nn/models/clip.h"
#include "nn/models/resnet.h"
#include "tensor/error.h"

namespace retort {

namespace {
using Json = nlohmann::ordered_json;
using Words = std::map<std::string, std::string>;

Described described_as(const std::string& type, bool bare, const Words& words, Json json) {
  json["dtype"] = "float32";
  return {family_table(type, bare, words), json.dump(2) + "\n"};
}

/// Refuses what no configuration of the family can say.
void require(bool fits, const Model& model, const std::string& what) {
  if (!fits) throw ConfigError("export: {}: the family has no {}", model.arch(), what);
}

/// The word of transformers.
std::string activation_word(const Model& model, Activation act) {
  const std::map<Activation, std::string> known{{Activation::gelu, "gelu"},
                                                {Activation::gelu_tanh, "gelu_pytorch_tanh"},
                                                {Activation::quick_gelu, "quick_gelu"},
                                                {Activation::relu, "relu"}};
  require(known.contains(act), model, fmt::format("act={}", name_of(act)));
  return known.at(act);
}

Json labels(std::int64_t classes) {
  Json json = Json::object();
  for (std::int64_t i = 0; i < classes; ++i) json[fmt::format("{}", i)] = fmt::format("LABEL_{}", i);
  return json;
}

Json extents(std::int64_t height, std::int64_t width) { return height == width ? Json(height) : Json({height, width}); }

Described described_bert(const Bert& model) {
  const BertConfig& c = model.config;
  require(c.pool == Pooling::none && !c.unit, model, "pooling or norm of the result in its config.json");
  const std::string type = c.counted ? "roberta" : "bert";
  return described_as(type, true, {{"{W}", "weight"}, {"{B}", "bias"}},
                      {{"model_type", type},
                       {"architectures", {c.counted ? "RobertaModel" : "BertModel"}},
                       {"vocab_size", c.vocab},
                       {"max_position_embeddings", c.context},
                       {"hidden_size", c.width},
                       {"num_hidden_layers", c.depth},
                       {"num_attention_heads", c.heads},
                       {"intermediate_size", c.hidden},
                       {"type_vocab_size", c.types},
                       {"pad_token_id", c.padding},
                       {"hidden_act", activation_word(model, c.act)},
                       {"layer_norm_eps", c.eps}});
}

Described described_resnet(const ImageResNet& model) {
  const ResNetConfig c = model.config.spelled();
  return described_as("resnet", false, {},
                      {{"model_type", "resnet"},
                       {"architectures", {"ResNetForImageClassification"}},
                       {"num_channels", c.in_channels},
                       {"embedding_size", c.stem},
                       {"hidden_sizes", c.widths},
                       {"depths", c.blocks},
                       {"layer_type", c.bottleneck ? "bottleneck" : "basic"},
                       {"hidden_act", "relu"},
                       {"downsample_in_first_stage", false},
                       {"downsample_in_bottleneck", c.early},
                       {"id2label", labels(c.classes)}});
}

Described described_timm(const Vit& model) {
  const VitConfig& c = model.config;
  require(c.layer_scale == 0 && c.registers == 0 && !c.gated && c.act == Activation::gelu && c.eps == 1e-6 &&
              c.resample == VitResample::none && !c.pre_norm,
          model, "joined queries, keys and values beside these keys; hint: qkv=separate");
  require(c.pool == VitPool::token || (c.pool == VitPool::avg && !c.distilled), model,
          fmt::format("pool={}", name_of(c.pool)));
  require(!c.distilled || (c.dist_head && c.classes > 0), model, "distillation token without a head");
  double ratio = static_cast<double>(c.hidden) / static_cast<double>(c.width);
  if (static_cast<std::int64_t>(static_cast<double>(c.width) * ratio) < c.hidden)
    ratio = std::nextafter(ratio, ratio + 1);
  const std::string pool(name_of(c.pool));
  Json args{{"num_classes", c.classes}, {"in_chans", c.in_channels}, {"img_size", {c.image, c.image_width}},
            {"patch_size", c.patch},    {"embed_dim", c.width},      {"depth", c.depth},
            {"num_heads", c.heads},     {"mlp_ratio", ratio},        {"qkv_bias", c.qkv_bias},
            {"global_pool", pool}};
  if (!c.distilled) args["fc_norm"] = c.norm_pooled;
  const Json json{{"architecture", c.distilled ? "deit_tiny_distilled_patch16_224" : "vit_tiny_patch16_224"},
                  {"num_classes", c.classes},
                  {"num_features", c.width},
                  {"global_pool", pool},
                  {"model_args", args},
                  {"pretrained_cfg",
                   {{"input_size", {c.in_channels, c.image, c.image_width}},
                    {"fixed_input_size", true},
                    {"num_classes", c.classes},
                    {"first_conv", "patch_embed.proj"},
                    {"classifier", c.distilled ? Json({"head", "head_dist"}) : Json("head")}}}};
  return {table_of(timm_names("vit"), "", false, {{"{N}", c.norm_pooled ? "fc_norm" : "norm"}}), json.dump(2) + "\n"};
}

Json vit_sizes(const Vit& model) {
  const VitConfig& c = model.config;
  return {{"image_size", extents(c.image, c.image_width)},
          {"patch_size", c.patch},
          {"num_channels", c.in_channels},
          {"hidden_size", c.width},
          {"num_hidden_layers", c.depth},
          {"num_attention_heads", c.heads},
          {"hidden_act", c.gated ? "gelu" : activation_word(model, c.act)},
          {"layer_norm_eps", c.eps},
          {"qkv_bias", c.qkv_bias}};
}

Described described_dinov2(const Vit& model) {
  const VitConfig& c = model.config;
  const bool bare = c.classes == 0, registers = c.registers > 0;
  require(!c.distilled && c.pool == (bare ? VitPool::none : VitPool::token_avg), model,
          fmt::format("pool={} with classes={}", name_of(c.pool), c.classes));
  require(c.resample == (registers ? VitResample::antialias : VitResample::bicubic), model,
          fmt::format("resample={} with registers={}", name_of(c.resample), c.registers));
  // The perceptron's size follows from a whole ratio; of a gated one two thirds are left, in multiples of eight.
  std::int64_t ratio = 1;
  const auto wide = [&] { return c.gated ? (c.width * ratio * 2 / 3 + 7) / 8 * 8 : c.width * ratio; };
  while (wide() < c.hidden) ++ratio;
  require(wide() == c.hidden, model, fmt::format("hidden={}", c.hidden));
  const std::string type = registers ? "dinov2_with_registers" : "dinov2";
  const std::string kind = registers ? "Dinov2WithRegisters" : "Dinov2";
  Json json = vit_sizes(model);
  json["model_type"] = type;
  json["architectures"] = {kind + (bare ? "Model" : "ForImageClassification")};
  json["mlp_ratio"] = ratio;
  json["use_swiglu_ffn"] = c.gated;
  json["layerscale_value"] = c.layer_scale;
  if (registers) json["num_register_tokens"] = c.registers;
  if (!bare) json["id2label"] = labels(c.classes);
  return described_as(type, bare, {{"{D}", c.gated ? "weights_out" : "fc2"}}, json);
}

Described described_vit(const Vit& model) {
  const VitConfig& c = model.config;
  require(c.prompts == 0, model, "prompts");
  if (c.joined) return described_timm(model);
  require(!c.pre_norm && !c.norm_pooled, model, "pre_norm=layer or norm=pooled");
  if (c.layer_scale > 0) return described_dinov2(model);
  const bool bare = c.classes == 0, two = c.distilled && c.dist_head;
  require(c.registers == 0 && !c.gated && c.resample == VitResample::none, model,
          "registers, swiglu or resample without layer_scale");
  require(c.pool == (bare ? VitPool::none : VitPool::token), model,
          fmt::format("pool={} with classes={}", name_of(c.pool), c.classes));
  const std::string type = c.distilled ? "deit" : "vit";
  const std::string end = bare ? "Model" : two ? "ForImageClassificationWithTeacher" : "ForImageClassification";
  Json json = vit_sizes(model);
  json["model_type"] = type;
  json["architectures"] = {(c.distilled ? "DeiT" : "ViT") + end};
  json["intermediate_size"] = c.hidden;
  if (!bare) json["id2label"] = labels(c.classes);
  return described_as(type, bare, {{"{H}", two ? "cls_classifier" : "classifier"}}, json);
}

/// A tower as it is saved alone.
Described described_tower(const Model& model, const std::string& kind, const ClipEndConfig& end, Json json) {
  require(!end.unit, model, "norm=unit in one tower alone");
  const bool text = kind == "Text", bare = end.project == 0;
  json["model_type"] = text ? "clip_text_model" : "clip_vision_model";
  json["architectures"] = {fmt::format("CLIP{}Model{}", kind, bare ? "" : "WithProjection")};
  if (!bare) json["projection_dim"] = end.project;
  return described_as(json["model_type"].get<std::string>(), bare, {}, json);
}

Described described_text(const ClipText& model) {
  const ClipTextConfig& c = model.config;
  require(c.end != 2, model, "end=2, which stands for the largest token there");
  return described_tower(model, "Text", c.head,
                         {{"vocab_size", c.vocab},
                          {"max_position_embeddings", c.context},
                          {"hidden_size", c.width},
                          {"num_hidden_layers", c.depth},
                          {"num_attention_heads", c.heads},
                          {"intermediate_size", c.hidden},
                          {"hidden_act", activation_word(model, c.act)},
                          {"layer_norm_eps", c.eps},
                          {"eos_token_id", c.end < 0 ? 2 : c.end}});
}

Described described_vision(const ClipVision& model) {
  const VitConfig& c = model.config.tower;
  require(c.image == c.image_width, model, fmt::format("image={}x{}", c.image, c.image_width));
  return described_tower(model, "Vision", model.config.head,
                         {{"image_size", c.image},
                          {"patch_size", c.patch},
                          {"num_channels", c.in_channels},
                          {"hidden_size", c.width},
                          {"num_hidden_layers", c.depth},
                          {"num_attention_heads", c.heads},
                          {"intermediate_size", c.hidden},
                          {"hidden_act", activation_word(model, c.act)},
                          {"layer_norm_eps", c.eps}});
}
}  // namespace

std::optional<Described> described_encoder(const Model& model) {
  if (const auto* bert = dynamic_cast<const Bert*>(&model)) return described_bert(*bert);
  if (const auto* resnet = dynamic_cast<const ImageResNet*>(&model)) return described_resnet(*resnet);
  if (const auto* vit = dynamic_cast<const Vit*>(&model)) return described_vit(*vit);
  if (const auto* text = dynamic_cast<const ClipText*>(&model)) return described_text(*text);
  if (const auto* vision = dynamic_cast<const ClipVision*>(&model)) return described_vision(*vision);
  return std::nullopt;
}

}  // namespace retort
