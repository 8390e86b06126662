// distill/convert/timm_families.cpp -- ResNets of timm, which are torchvision's, and its ViTs and DeiTs.
#include <charconv>

#include "distill/convert/family.h"
#include "nn/models/vit.h"
#include "tensor/error.h"

namespace retort {

namespace {
constexpr const char* kVitNames = R"(
rename:
  - {from: "cls_token", to: "class_token"}
  - {from: "pos_embed", to: "positions"}
  - {from: "blocks.*.attn.proj.*", to: "blocks.*.attn.out.*"}
  - {from: "blocks.*.mlp.fc1.*", to: "blocks.*.mlp.up.*"}
  - {from: "blocks.*.mlp.fc2.*", to: "blocks.*.mlp.down.*"}
  - {from: "{N}.*", to: "norm.*"}
squeeze: [{name: cls_token, axes: 2}, {name: dist_token, axes: 2}, {name: pos_embed, axes: 1}]
)";

std::string resnet_names() {
  std::string text = "rename:\n";
  const auto rule = [&](const std::string& from, const std::string& to) {
    text += fmt::format("  - {{from: \"{}.*\", to: \"{}.*\"}}\n", from, to);
  };
  rule("conv1", "stem.conv");
  rule("bn1", "stem.norm");
  for (int stage = 0; stage < 4; ++stage) {
    const std::string theirs = fmt::format("layer{}.*.", stage + 1), ours = fmt::format("stages.{}.blocks.*.", stage);
    for (int i = 0; i < 3; ++i) {
      rule(fmt::format("{}conv{}", theirs, i + 1), fmt::format("{}body.{}.conv", ours, i));
      rule(fmt::format("{}bn{}", theirs, i + 1), fmt::format("{}body.{}.norm", ours, i));
    }
    rule(theirs + "downsample.0", ours + "shortcut.conv");
    rule(theirs + "downsample.1", ours + "shortcut.norm");
  }
  rule("fc", "head");
  return text + "drop: [\"**.num_batches_tracked\"]\n";
}

/// What timm builds a model from: arguments, else what its weights are said to be, else the defaults of its name.
struct Arguments {
  ModelConfig given, weights;
  explicit Arguments(ModelConfig& c) : given(c.section("model_args")), weights(c.section("pretrained_cfg")) {
    c.ignore({"num_features", "label_names", "label_descriptions", "labels"});
    weights.ignore({"tag",
                    "custom_load",
                    "test_input_size",
                    "min_input_size",
                    "fixed_input_size",
                    "interpolation",
                    "test_interpolation",
                    "crop_pct",
                    "test_crop_pct",
                    "crop_mode",
                    "test_crop_mode",
                    "mean",
                    "std",
                    "pool_size",
                    "test_pool_size",
                    "first_conv",
                    "classifier",
                    "license",
                    "origin_url",
                    "paper_ids",
                    "paper_name",
                    "notes",
                    "description",
                    "url",
                    "source",
                    "file",
                    "hf_hub_id",
                    "hf_hub_filename",
                    "architecture",
                    "label_names",
                    "label_descriptions",
                    "label_offset"});
    // Rates of dropout, and laws of fresh weights.
    given.ignore({"drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate",
                  "drop_block_rate", "weight_init", "fix_init", "zero_init_last"});
  }
  /// [channels, height, width] of the images.
  std::vector<std::int64_t> input() {
    const auto input = weights.integers("input_size", {3, 224, 224});
    if (input.size() != 3) weights.fail("input_size", "expected channels, height and width");
    return input;
  }
  std::string classes(ModelConfig& c) {
    const std::int64_t said = c.integer("num_classes", weights.integer("num_classes", 1000, 0), 0);
    return fmt::format("in={} classes={}", given.integer("in_chans", input()[0]),
                       given.integer("num_classes", said, 0));
  }
  std::string pooling(ModelConfig& c, const std::string& fallback) {
    const std::string pool = given.word("global_pool", weights.word("global_pool", fallback));
    if (c.word("global_pool", pool) != pool) c.fail("global_pool", "model_args and the rest make it " + pool);
    return pool;
  }
  void done() const {
    given.done();
    weights.done();
  }
};

std::string resnet_arch(Reading& r) {
  ModelConfig& c = r.config;
  Arguments a(c);
  const std::string depth = c.word("architecture").substr(std::string("resnet").size());
  const std::string pool = a.pooling(c, "avg"), sizes = a.classes(c);
  if (pool != "avg") c.fail("global_pool", "only avg is supported; got " + pool);
  if (sizes.ends_with("classes=0")) c.fail("num_classes", "a resnet without a classifier is not supported");
  a.done();
  return fmt::format("resnet({} depth={})", sizes, depth);
}

/// vit_SIZE_patchP_IMAGE, deit_SIZE_distilled_patchP_IMAGE
struct VitName {
  std::string size;
  std::int64_t patch = 0;
  bool distilled = false;
};

std::optional<VitName> vit_name(std::string_view text) {
  VitName name;
  const bool deit = text.starts_with("deit_");
  if (!deit && !text.starts_with("vit_")) return std::nullopt;
  text.remove_prefix(deit ? 5 : 4);
  for (const char* size : {"tiny", "small", "base", "large"})
    if (text.starts_with(std::string(size) + "_")) name.size = size;
  if (name.size.empty() || (deit && name.size == "large")) return std::nullopt;
  text.remove_prefix(name.size.size() + 1);
  name.distilled = deit && text.starts_with("distilled_");
  if (name.distilled) text.remove_prefix(std::string_view("distilled_").size());
  if (!text.starts_with("patch")) return std::nullopt;
  text.remove_prefix(5);
  const char* end = text.data() + text.size();
  const auto patch = std::from_chars(text.data(), end, name.patch);
  if (patch.ec != std::errc() || name.patch < 1 || patch.ptr == end || *patch.ptr != '_') return std::nullopt;
  std::int64_t image = 0;
  const auto rest = std::from_chars(patch.ptr + 1, end, image);
  if (rest.ec != std::errc() || rest.ptr != end) return std::nullopt;
  return name;
}

std::string vit_arch(Reading& r) {
  ModelConfig& c = r.config;
  Arguments a(c);
  ModelConfig& given = a.given;
  const VitName name = *vit_name(c.word("architecture"));
  const VitConfig size = name.size == "tiny"    ? VitConfig::tiny()
                         : name.size == "small" ? VitConfig::small()
                         : name.size == "base"  ? VitConfig::base()
                                                : VitConfig::large();
  for (const char* key : {"class_token", "proj_bias", "final_norm"}) given.expect(key, true);
  for (const char* key : {"qk_norm", "pre_norm", "no_embed_class", "dynamic_img_size", "pool_include_prefix"})
    given.expect(key, false);
  given.expect("pos_embed", "learn");
  given.expect("reg_tokens", 0);
  const std::string sizes = a.classes(c), pool = a.pooling(c, "token");
  if (pool != "token" && pool != "avg") c.fail("global_pool", "only token and avg are supported; got " + pool);
  const bool pooled = given.flag("fc_norm", pool == "avg"), bias = given.flag("qkv_bias", true);
  if (pooled != (r.file.find("fc_norm.weight") != nullptr))
    given.fail("fc_norm", "the norm behind the pooling should be there, or not, unlike in the file");
  if (name.distilled && sizes.ends_with("classes=0"))
    c.fail("num_classes", "a distilled one without heads is not supported");
  const auto input = a.input();
  auto image = std::pair(input[1], input[2]);
  if (given.has("img_size")) image = given.extents("img_size", 0);
  const auto patch = given.extents("patch_size", name.patch);
  if (patch.first != patch.second) given.fail("patch_size", "only square patches are supported");
  const std::int64_t width = given.integer("embed_dim", size.width);
  const double ratio = given.real("mlp_ratio", 4), hidden = static_cast<double>(width) * ratio;
  if (!(hidden >= 1 && hidden <= INT32_MAX))
    given.fail("mlp_ratio", fmt::format("{} times a width of {} makes no perceptron", ratio, width));
  const std::string text =
      fmt::format("{}({} image={} patch={} width={} depth={} heads={} hidden={} qkv_bias={} pool={} norm={})",
                  name.distilled ? "deit" : "vit", sizes, image_text(image.first, image.second), patch.first, width,
                  given.integer("depth", size.depth), given.integer("num_heads", size.heads),
                  static_cast<std::int64_t>(hidden), bias ? "own" : "none", pool, pooled ? "pooled" : "tokens");
  a.done();
  return text;
}

const std::map<std::string, Family>& families() {
  static const std::map<std::string, Family> table{
      {"resnet", {.names = resnet_names(), .embedding = "layer1.0.conv1.weight", .arch = resnet_arch}},
      {"vit", {.names = kVitNames, .embedding = "pos_embed", .arch = vit_arch}}};
  return table;
}
}  // namespace

bool is_timm(const ModelConfig& config) { return config.has("architecture") && !config.has("model_type"); }

const Family& timm_family(ModelConfig& config) {
  const std::string name = config.word("architecture");
  for (const char* known : {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"})
    if (name == known) return families().at("resnet");
  if (vit_name(name)) return families().at("vit");
  config.fail("architecture",
              "only resnet18 to resnet152, vit_SIZE_patchP_IMAGE and deit_SIZE_[distilled_]patchP_IMAGE of timm are "
              "supported, of tiny, small, base or large size; got " +
                  name);
}

const Family& timm_names(const std::string& kind) { return families().at(kind); }

}  // namespace retort
