#include <cmath>
#include <map>

#include "distill/train/model_builders.h"
#include "nn/models/bert.h"
#include "nn/models/causal_lm.h"
#include "nn/models/clip.h"
#include "nn/models/mae.h"

namespace retort {

namespace {
constexpr IntBounds kSize{.min = 1};
constexpr RealBounds kProbability{.min = 0, .max = 1};

/// The value that goes by the argument's word.
template <class T>
T one_of(CallArgs& args, const std::string& key, const std::string& fallback, const std::map<std::string, T>& values) {
  const Call word = parse_call(args.word(key, fallback), key);
  return lookup(values, word, key);
}

/// What name_of calls each of them.
template <class T>
std::map<std::string, T> by_name(std::initializer_list<T> values) {
  std::map<std::string, T> table;
  for (const T value : values) table.emplace(name_of(value), value);
  return table;
}

/// image=24, or image=24x40.
void read_image(CallArgs& args, const ModelSizes& sizes, VitConfig& c) {
  const auto given = args.optional_call("image");
  const std::string text = given ? given->str() : image_text(sizes.height, sizes.width);
  const std::vector<int> sides = widths_from_text(text);
  if (sides.empty() || sides.size() > 2) throw ConfigError("image: a side, or height x width; got {}", text);
  c.image = sides.front();
  c.image_width = sides.back();
}

bool tied_head(CallArgs& args, bool fallback) {
  return one_of<bool>(args, "head", fallback ? "tied" : "own", {{"tied", true}, {"own", false}});
}

/// linear(factor), llama3(factor low=1 high=4 original), yarn(factor original slow=1 fast=32 attention ramp=whole),
/// whose attention is 1 + log(factor) / 10 by default.
void rescale(RotaryConfig& rotary, const Call& call) {
  const std::map<std::string, RotaryScaling> scalings{
      {"linear", RotaryScaling::linear}, {"llama3", RotaryScaling::llama3}, {"yarn", RotaryScaling::yarn}};
  rotary.scaling = lookup(scalings, call, "scaling of rotary positions");
  CallArgs args(call);
  rotary.factor = args.number("factor", {.min = 1});
  if (rotary.scaling == RotaryScaling::llama3) {
    rotary.low = args.number("low", 1, {.above = 0});
    rotary.high = args.number("high", 4, {.above = 0});
  }
  if (rotary.scaling != RotaryScaling::linear) rotary.original = args.number("original", {.min = 1});
  if (rotary.scaling == RotaryScaling::yarn) {
    rotary.slow = args.number("slow", 1, {.above = 0});
    rotary.fast = args.number("fast", 32, {.above = 0});
    rotary.attention = args.number("attention", 1 + 0.1 * std::log(rotary.factor), {.above = 0});
    rotary.truncate = one_of<bool>(args, "ramp", "whole", {{"whole", true}, {"exact", false}});
  }
  args.done();
}

/// What every stack of blocks is told.
template <class C>
void read_blocks(CallArgs& args, C& c) {
  c.width = args.integer("width", c.width, kSize);
  c.depth = args.integer("depth", c.depth, kSize);
  c.heads = args.integer("heads", c.heads, kSize);
  c.hidden = args.integer("hidden", 4 * c.width, kSize);
}

CausalLmConfig common(CallArgs& args, const ModelSizes& sizes, CausalLmConfig c) {
  c.vocab = args.integer("vocab", sizes.classes, kSize);
  c.context = args.integer("context", c.context, kSize);
  read_blocks(args, c);
  return c;
}
}  // namespace

std::unique_ptr<Model> build_vit(CallArgs& args, const ModelSizes& sizes, VitConfig c) {
  read_image(args, sizes, c);
  c.patch = args.integer("patch", c.patch, kSize);
  c.in_channels = args.integer("in", sizes.channels, kSize);
  c.classes = args.integer("classes", c.classes == 0 ? 0 : sizes.classes, {.min = 0});
  read_blocks(args, c);
  c.dropout = args.number("dropout", 0.0, kProbability);
  c.drop_path = args.number("drop_path", 0.0, kProbability);
  c.prompts = args.integer("prompts", 0, {.min = 0});
  c.dist_head = one_of<bool>(args, "dist_head", "own", {{"own", true}, {"none", false}});
  c.registers = args.integer("registers", c.registers, {.min = 0});
  c.joined = one_of<bool>(args, "qkv", c.joined ? "joined" : "separate", {{"joined", true}, {"separate", false}});
  c.qkv_bias = one_of<bool>(args, "qkv_bias", "own", {{"own", true}, {"none", false}});
  const std::string act = args.word("act", c.gated ? "swiglu" : std::string(name_of(c.act)));
  c.gated = act == "swiglu";
  if (!c.gated) c.act = activation_from_name(act);
  c.eps = args.number("eps", c.eps, {.above = 0});
  c.layer_scale = args.number("layer_scale", c.layer_scale, {.min = 0});
  c.pre_norm = one_of<bool>(args, "pre_norm", c.pre_norm ? "layer" : "none", {{"layer", true}, {"none", false}});
  c.pool = one_of(args, "pool", std::string(name_of(c.pool)),
                  by_name({VitPool::token, VitPool::avg, VitPool::token_avg, VitPool::none}));
  c.norm_pooled = one_of<bool>(args, "norm", "tokens", {{"tokens", false}, {"pooled", true}});
  c.resample = one_of(args, "resample", std::string(name_of(c.resample)),
                      by_name({VitResample::none, VitResample::bicubic, VitResample::antialias}));
  return std::make_unique<Vit>(c);
}

std::unique_ptr<Model> build_mae(CallArgs& args, const ModelSizes& sizes) {
  MaeConfig c;
  c.image = args.integer("image", sizes.height, kSize);
  c.patch = args.integer("patch", c.patch, kSize);
  c.in_channels = args.integer("in", sizes.channels, kSize);
  c.width = args.integer("width", c.width, kSize);
  c.depth = args.integer("depth", c.depth, kSize);
  c.heads = args.integer("heads", c.heads, kSize);
  c.decoder_width = args.integer("decoder_width", c.decoder_width, kSize);
  c.decoder_depth = args.integer("decoder_depth", c.decoder_depth, kSize);
  c.decoder_heads = args.integer("decoder_heads", c.decoder_heads, kSize);
  c.target = args.integer("target", 0, {.min = 0});
  c.mask.ratio = args.number("mask", c.mask.ratio, kProbability);
  c.mask.views = static_cast<int>(args.integer("views", 1, {.min = 1, .max = 2}));
  return std::make_unique<Mae>(c);
}

std::unique_ptr<Model> build_gpt2(CallArgs& args, const ModelSizes& sizes) {
  CausalLmConfig c = common(args, sizes, {.layout = LmLayout::gpt2});
  c.eps = args.number("eps", 1e-5, {.min = 0});
  c.tied = tied_head(args, true);
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<CausalLm>(c);
}

namespace {
std::unique_ptr<Model> build_encoder(CallArgs& args, const ModelSizes& sizes, BertConfig c) {
  c.vocab = args.integer("vocab", sizes.classes, kSize);
  c.context = args.integer("context", c.context, kSize);
  read_blocks(args, c);
  c.types = args.integer("types", c.types, kSize);
  c.padding = args.integer("padding", c.padding, {.min = 0});
  c.act = activation_from_name(args.word("act", "gelu"));
  c.eps = args.number("eps", c.eps, {.above = 0});
  c.pool = one_of(args, "pool", "none", by_name({Pooling::none, Pooling::mean, Pooling::first, Pooling::pooler}));
  c.unit = one_of<bool>(args, "norm", "none", {{"none", false}, {"unit", true}});
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<Bert>(c);
}
}  // namespace

std::unique_ptr<Model> build_bert(CallArgs& args, const ModelSizes& sizes) { return build_encoder(args, sizes, {}); }

std::unique_ptr<Model> build_roberta(CallArgs& args, const ModelSizes& sizes) {
  return build_encoder(args, sizes, {.context = 514, .types = 1, .padding = 1, .counted = true, .eps = 1e-5});
}

namespace {
ClipEndConfig read_end(CallArgs& args) {
  ClipEndConfig c;
  c.project = args.integer("project", c.project, {.min = 0});
  c.unit = one_of<bool>(args, "norm", "none", {{"none", false}, {"unit", true}});
  c.scaled = one_of<bool>(args, "scale", "none", {{"none", false}, {"learned", true}});
  return c;
}
}  // namespace

std::unique_ptr<Model> build_clip_text(CallArgs& args, const ModelSizes& sizes) {
  ClipTextConfig c;
  c.vocab = args.integer("vocab", sizes.classes, kSize);
  c.context = args.integer("context", c.context, kSize);
  read_blocks(args, c);
  c.act = activation_from_name(args.word("act", std::string(name_of(c.act))));
  c.eps = args.number("eps", c.eps, {.above = 0});
  const auto end = args.optional_call("end");
  if (end && end->name != "largest") {
    const auto token = end->number();
    if (!token || *token < 0 || *token != std::floor(*token)) end->fail("end is a token, or largest");
    c.end = static_cast<std::int64_t>(*token);
  }
  c.head = read_end(args);
  return std::make_unique<ClipText>(c);
}

std::unique_ptr<Model> build_clip_vision(CallArgs& args, const ModelSizes& sizes) {
  ClipVisionConfig c;
  VitConfig& t = c.tower;
  read_image(args, sizes, t);
  t.patch = args.integer("patch", t.patch, kSize);
  t.in_channels = args.integer("in", sizes.channels, kSize);
  read_blocks(args, t);
  t.act = activation_from_name(args.word("act", std::string(name_of(t.act))));
  t.eps = args.number("eps", t.eps, {.above = 0});
  c.head = read_end(args);
  return std::make_unique<ClipVision>(c);
}

std::unique_ptr<Model> build_llama(CallArgs& args, const ModelSizes& sizes) {
  CausalLmConfig c = common(args, sizes, {.layout = LmLayout::llama});
  c.kv_heads = args.integer("kv_heads", c.heads, kSize);
  c.window = args.integer("window", 0, {.min = 0});
  c.rotary.base = args.number("rotary_base", c.rotary.base, {.min = 1});
  c.eps = args.number("eps", 1e-6, {.min = 0});
  c.tied = tied_head(args, false);
  c.dropout = args.number("dropout", 0.0, kProbability);
  c.head_width = args.integer("head_width", 0, {.min = 0});
  c.bias = one_of<LmBias>(args, "bias", "none", {{"none", LmBias::none}, {"qkv", LmBias::qkv}, {"attn", LmBias::attn}});
  c.qk_norm = one_of<bool>(args, "qk_norm", "none", {{"none", false}, {"head", true}});
  c.rotary.width = args.integer("rotary_width", 0, {.min = 0});
  if (const auto scaling = args.optional_call("rotary")) rescale(c.rotary, *scaling);
  return std::make_unique<CausalLm>(c);
}

}  // namespace retort
