#include <map>

#include "distill/diffusion/oracle_net.h"
#include "distill/train/models.h"
#include "nn/models/dit.h"
#include "nn/models/edm.h"
#include "nn/models/unet.h"

namespace retort {

namespace {
constexpr IntBounds kSize{.min = 1}, kCount{.min = 0};
constexpr RealBounds kProbability{.min = 0, .max = 1};
using Builder = std::unique_ptr<Denoiser> (*)(CallArgs&, const ModelSizes&);

template <DitConfig (*Size)()>
std::unique_ptr<Denoiser> build_dit(CallArgs& args, const ModelSizes& sizes) {
  DitConfig c = Size();
  c.image = args.integer("image", sizes.height, kSize);
  c.patch = args.integer("patch", c.patch, kSize);
  c.in_channels = args.integer("in", sizes.channels, kSize);
  c.out_channels = args.integer("out", c.in_channels, kSize);
  c.classes = args.integer("classes", sizes.classes, kCount);
  c.width = args.integer("width", c.width, kSize);
  c.depth = args.integer("depth", c.depth, kSize);
  c.heads = args.integer("heads", c.heads, kSize);
  c.hidden = args.integer("hidden", 4 * c.width, kSize);
  c.label_drop = args.number("label_drop", c.label_drop, kProbability);
  c.end_time = args.integer("times", 1, {.min = 1, .max = 2}) == 2;
  c.dropout = args.number("dropout", c.dropout, kProbability);
  return std::make_unique<Dit>(c);
}

std::vector<int> widths(CallArgs& args, const std::string& name, const std::vector<int>& fallback) {
  const std::optional<Call> given = args.optional_call(name);
  return given ? widths_from_text(given->str()) : fallback;
}

std::unique_ptr<Denoiser> build_unet(CallArgs& args, const ModelSizes& sizes) {
  UnetConfig c;
  c.image = args.integer("image", sizes.height, kSize);
  c.in_channels = args.integer("in", sizes.channels, kSize);
  c.out_channels = args.integer("out", c.in_channels, kSize);
  c.width = args.integer("width", c.width, kSize);
  c.mult = widths(args, "mult", c.mult);
  c.blocks = args.integer("blocks", c.blocks, kSize);
  c.attention = widths(args, "attention", c.attention);
  c.embed_mult = args.integer("embed_mult", c.embed_mult, kSize);
  c.classes = args.integer("classes", c.classes, kCount);
  c.augment = args.integer("augment", c.augment, kCount);
  c.label_drop = args.number("label_drop", c.label_drop, kProbability);
  c.dropout = args.number("dropout", c.dropout, kProbability);
  return std::make_unique<Unet>(c);
}

std::unique_ptr<Denoiser> build_edm(CallArgs& args, const ModelSizes& sizes) {
  auto net = build_denoiser(args.call("net"), sizes);
  return std::make_unique<EdmDenoiser>(std::move(net), args.number("sigma_data", 0.5, {.above = 0}));
}
const std::map<std::string, Builder, std::less<>>& builders() {
  static const std::map<std::string, Builder, std::less<>> table{{"dit", build_dit<DitConfig::small>},
                                                                 {"dit_base", build_dit<DitConfig::base>},
                                                                 {"dit_large", build_dit<DitConfig::large>},
                                                                 {"dit_small", build_dit<DitConfig::small>},
                                                                 {"dit_xl", build_dit<DitConfig::xl>},
                                                                 {"edm", build_edm},
                                                                 {"unet", build_unet}};
  return table;
}

using OracleBuilder = std::unique_ptr<Denoiser> (*)(CallArgs&, const Call&);

const std::map<std::string, OracleBuilder, std::less<>>& oracles() {
  static const std::map<std::string, OracleBuilder, std::less<>> table{{"gaussian", build_gaussian},
                                                                       {"mixture", build_mixture}};
  return table;
}
}  // namespace

bool is_denoiser(const Call& call) { return builders().contains(call.name) || oracles().contains(call.name); }

std::unique_ptr<Denoiser> build_denoiser(const Call& call, const ModelSizes& sizes) {
  CallArgs args(call);
  const auto oracle = oracles().find(call.name);
  auto net = oracle != oracles().end() ? oracle->second(args, call) : lookup(builders(), call, "denoiser")(args, sizes);
  args.done();
  return net;
}

}  // namespace retort
