#include "distill/train/model_builders.h"
#include "nn/models/causal_lm.h"
#include "nn/models/mae.h"

namespace retort {

namespace {
constexpr IntBounds kSize{.min = 1};
constexpr RealBounds kProbability{.min = 0, .max = 1};

bool tied_head(CallArgs& args, bool fallback) {
  const std::string word = args.word("head", fallback ? "tied" : "own");
  if (word != "tied" && word != "own") throw ConfigError("head: it is tied to the embeddings or own; got {}", word);
  return word == "tied";
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

std::unique_ptr<Model> build_llama(CallArgs& args, const ModelSizes& sizes) {
  CausalLmConfig c = common(args, sizes, {.layout = LmLayout::llama});
  c.kv_heads = args.integer("kv_heads", c.heads, kSize);
  c.hidden = args.integer("hidden", 4 * c.width, kSize);
  c.window = args.integer("window", 0, {.min = 0});
  c.rotary_base = args.number("rotary_base", c.rotary_base, {.min = 1});
  c.eps = args.number("eps", 1e-6, {.min = 0});
  c.tied = tied_head(args, false);
  c.dropout = args.number("dropout", 0.0, kProbability);
  return std::make_unique<CausalLm>(c);
}

}  // namespace retort
