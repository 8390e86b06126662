#include <cmath>
#include <map>

#include "distill/train/model_builders.h"
#include "nn/models/bert.h"
#include "nn/models/causal_lm.h"
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

CausalLmConfig common(CallArgs& args, const ModelSizes& sizes, CausalLmConfig c) {
  c.vocab = args.integer("vocab", sizes.classes, kSize);
  c.context = args.integer("context", c.context, kSize);
  c.width = args.integer("width", c.width, kSize);
  c.depth = args.integer("depth", c.depth, kSize);
  c.heads = args.integer("heads", c.heads, kSize);
  return c;
}
}  // namespace

std::unique_ptr<Model> build_vit(CallArgs& args, const ModelSizes& sizes, VitConfig c) {
  c.image = args.integer("image", sizes.height, kSize);
  c.patch = args.integer("patch", c.patch, kSize);
  c.in_channels = args.integer("in", sizes.channels, kSize);
  c.classes = args.integer("classes", sizes.classes, kSize);
  c.width = args.integer("width", c.width, kSize);
  c.depth = args.integer("depth", c.depth, kSize);
  c.heads = args.integer("heads", c.heads, kSize);
  c.hidden = args.integer("hidden", 4 * c.width, kSize);
  c.dropout = args.number("dropout", 0.0, kProbability);
  c.drop_path = args.number("drop_path", 0.0, kProbability);
  c.prompts = args.integer("prompts", 0, {.min = 0});
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
  c.hidden = args.integer("hidden", 4 * c.width, kSize);
  c.eps = args.number("eps", 1e-5, {.min = 0});
  c.tied = tied_head(args, true);
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<CausalLm>(c);
}

std::unique_ptr<Model> build_bert(CallArgs& args, const ModelSizes& sizes) {
  BertConfig c;
  c.vocab = args.integer("vocab", sizes.classes, kSize);
  c.context = args.integer("context", c.context, kSize);
  c.width = args.integer("width", c.width, kSize);
  c.depth = args.integer("depth", c.depth, kSize);
  c.heads = args.integer("heads", c.heads, kSize);
  c.hidden = args.integer("hidden", 4 * c.width, kSize);
  c.types = args.integer("types", c.types, kSize);
  c.padding = args.integer("padding", c.padding, {.min = 0});
  c.act = activation_from_name(args.word("act", "gelu"));
  c.eps = args.number("eps", c.eps, {.above = 0});
  std::map<std::string, Pooling> poolings;
  for (const Pooling p : {Pooling::none, Pooling::mean, Pooling::first, Pooling::pooler})
    poolings.emplace(name_of(p), p);
  c.pool = one_of(args, "pool", "none", poolings);
  c.unit = one_of<bool>(args, "norm", "none", {{"none", false}, {"unit", true}});
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<Bert>(c);
}

std::unique_ptr<Model> build_llama(CallArgs& args, const ModelSizes& sizes) {
  CausalLmConfig c = common(args, sizes, {.layout = LmLayout::llama});
  c.kv_heads = args.integer("kv_heads", c.heads, kSize);
  c.hidden = args.integer("hidden", 4 * c.width, kSize);
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
