// distill/convert/families.cpp -- a table of names and a reader of config.json for each family over tokens, and the
// way from a file to its family.
#include "distill/convert/families.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "distill/convert/family.h"
#include "io/file.h"
#include "nn/model.h"
#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;

namespace {
constexpr std::uintmax_t kLargestConfig = 10'000'000;

/// Rules below stand with placeholders (family.h); "{W}" and "{B}" are weight and bias of a norm, which are gamma and
/// beta in old files.
constexpr const char* kGpt2Names = R"(
rename:
  - {from: "{P}wte.weight", to: "embed.weight"}
  - {from: "{P}wpe.weight", to: "positions.weight"}
  - {from: "{P}h.*.ln_1.*", to: "blocks.*.norm1.*"}
  - {from: "{P}h.*.ln_2.*", to: "blocks.*.norm2.*"}
  - {from: "{P}h.*.attn.c_attn.*", to: "blocks.*.attn.qkv.*"}
  - {from: "{P}h.*.attn.c_proj.*", to: "blocks.*.attn.out.*"}
  - {from: "{P}h.*.mlp.c_fc.*", to: "blocks.*.mlp.up.*"}
  - {from: "{P}h.*.mlp.c_proj.*", to: "blocks.*.mlp.down.*"}
  - {from: "{P}ln_f.*", to: "norm.*"}
  - {from: "lm_head.weight", to: "head.weight"}
transpose: ["{P}h.*.attn.c_attn.weight", "{P}h.*.attn.c_proj.weight", "{P}h.*.mlp.c_fc.weight", "{P}h.*.mlp.c_proj.weight"]
drop: ["{P}h.*.attn.bias", "{P}h.*.attn.masked_bias"]
)";
constexpr const char* kLlamaNames = R"(
rename:
  - {from: "{P}embed_tokens.weight", to: "embed.weight"}
  - {from: "{P}layers.*.self_attn.*_norm.*", to: "blocks.*.attn.*_norm.*"}
  - {from: "{P}layers.*.self_attn.o_proj.*", to: "blocks.*.attn.out.*"}
  - {from: "{P}layers.*.self_attn.*_proj.*", to: "blocks.*.attn.*.*"}
  - {from: "{P}layers.*.mlp.*_proj.*", to: "blocks.*.mlp.*.*"}
  - {from: "{P}layers.*.input_layernorm.*", to: "blocks.*.norm1.*"}
  - {from: "{P}layers.*.post_attention_layernorm.*", to: "blocks.*.norm2.*"}
  - {from: "{P}norm.*", to: "norm.*"}
  - {from: "lm_head.weight", to: "head.weight"}
drop: ["**.rotary_emb.inv_freq"]
)";

constexpr const char* kBertNames = R"(
rename:
  - {from: "{P}embeddings.word_embeddings.weight", to: "embed.weight"}
  - {from: "{P}embeddings.position_embeddings.weight", to: "positions.weight"}
  - {from: "{P}embeddings.token_type_embeddings.weight", to: "types.weight"}
  - {from: "{P}embeddings.LayerNorm.{W}", to: "embed_norm.weight"}
  - {from: "{P}embeddings.LayerNorm.{B}", to: "embed_norm.bias"}
  - {from: "{P}encoder.layer.*.attention.self.query.*", to: "blocks.*.attn.q.*"}
  - {from: "{P}encoder.layer.*.attention.self.key.*", to: "blocks.*.attn.k.*"}
  - {from: "{P}encoder.layer.*.attention.self.value.*", to: "blocks.*.attn.v.*"}
  - {from: "{P}encoder.layer.*.attention.output.dense.*", to: "blocks.*.attn.out.*"}
  - {from: "{P}encoder.layer.*.attention.output.LayerNorm.{W}", to: "blocks.*.norm1.weight"}
  - {from: "{P}encoder.layer.*.attention.output.LayerNorm.{B}", to: "blocks.*.norm1.bias"}
  - {from: "{P}encoder.layer.*.intermediate.dense.*", to: "blocks.*.mlp.up.*"}
  - {from: "{P}encoder.layer.*.output.dense.*", to: "blocks.*.mlp.down.*"}
  - {from: "{P}encoder.layer.*.output.LayerNorm.{W}", to: "blocks.*.norm2.weight"}
  - {from: "{P}encoder.layer.*.output.LayerNorm.{B}", to: "blocks.*.norm2.bias"}
drop: ["{P}embeddings.position_ids", "{P}pooler.dense.*", "cls.**", "lm_head.**"]
)";

std::string head_of(bool tied) { return tied ? "tied" : "own"; }

std::string gpt2_arch(Reading& r) {
  ModelConfig& c = r.config;
  const std::int64_t width = c.integer("n_embd"), context = c.integer("n_positions");
  c.expect("n_ctx", context);
  const std::string act = c.word("activation_function", "gelu_new");
  if (act != "gelu_new" && act != "gelu_pytorch_tanh")
    c.fail("activation_function", "only GELU in the tanh form is supported; got " + act);
  c.expect("scale_attn_weights", true);
  c.expect("scale_attn_by_inverse_layer_idx", false);
  c.expect("add_cross_attention", false);
  const std::int64_t vocab = c.integer("vocab_size"), depth = c.integer("n_layer"), heads = c.integer("n_head");
  return fmt::format("gpt2(vocab={} context={} width={} depth={} heads={} hidden={} eps={} head={})", vocab, context,
                     width, depth, heads, c.integer("n_inner", 4 * width), c.real("layer_norm_epsilon", 1e-5),
                     head_of(r.tied));
}

/// The scaling of rotary positions, " rotary=..", by the section that has it.
std::string scaling_of(ModelConfig& rope, std::int64_t context) {
  const std::string old = rope.word("type", "default"), type = rope.word("rope_type", old);
  if (rope.has("type") && old != type) rope.fail("type", "rope_type says " + type + "; got " + old);
  if (type == "default") return "";
  if (type == "linear") return fmt::format(" rotary=linear(factor={})", rope.real("factor"));
  const auto original = [&] { return rope.real("original_max_position_embeddings", static_cast<double>(context)); };
  if (type == "llama3") {
    const double factor = rope.real("factor"), low = rope.real("low_freq_factor"), high = rope.real("high_freq_factor");
    return fmt::format(" rotary=llama3(factor={} low={} high={} original={})", factor, low, high, original());
  }
  if (type != "yarn") rope.fail("rope_type", "only default, linear, llama3 and yarn are supported; got " + type);
  const double factor = rope.real("factor"), slow = rope.real("beta_slow", 1), fast = rope.real("beta_fast", 32);
  std::string yarn = fmt::format("factor={} original={} slow={} fast={}", factor, original(), slow, fast);
  if (rope.has("attention_factor")) yarn += fmt::format(" attention={}", rope.real("attention_factor"));
  if (!rope.flag("truncate", true)) yarn += " ramp=exact";
  return fmt::format(" rotary=yarn({})", yarn);
}

/// " rotary_base=.. rotary=..": from `rope_parameters`, or from `rope_theta` and `rope_scaling`.
std::string rotary_of(ModelConfig& c, std::int64_t context) {
  const double base = c.real("rope_theta", 10000);
  if (c.has("rope_parameters") && c.has("rope_scaling")) c.fail("rope_scaling", "there are rope_parameters too");
  ModelConfig rope = c.section(c.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  c.section("rope_scaling");
  c.expect("rope_interleaved", false);
  c.expect("partial_rotary_factor", 1.0);
  rope.expect("partial_rotary_factor", 1.0);
  std::string text = fmt::format(" rotary_base={}", rope.real("rope_theta", base));
  text += scaling_of(rope, context);
  rope.done();
  return text;
}

/// Positions a layer sees, 0 for all. One window for all layers is supported; where `layer_types` is left out, layers
/// before `max_window_layers` see all.
std::int64_t window_of(ModelConfig& c, bool used, std::int64_t first, std::int64_t depth) {
  const std::int64_t window = c.integer("sliding_window", 0);
  std::vector<std::string> kinds = c.words("layer_types");
  if (kinds.empty() && used) {
    if (first > 0 && first < depth)
      c.fail("max_window_layers", fmt::format("layers with and without a window; got {} of {}", first, depth));
    return first == 0 ? window : 0;
  }
  std::sort(kinds.begin(), kinds.end());
  kinds.erase(std::unique(kinds.begin(), kinds.end()), kinds.end());
  if (kinds.size() > 1) c.fail("layer_types", fmt::format("layers of several kinds; got {}", fmt::join(kinds, ", ")));
  if (!kinds.empty() && kinds.front() != "sliding_attention" && kinds.front() != "full_attention")
    c.fail("layer_types", "unknown kind " + kinds.front());
  return used && kinds.front() == "sliding_attention" ? window : 0;
}

/// Qwen's way of saying it.
std::int64_t qwen_window(ModelConfig& c) {
  const bool used = c.flag("use_sliding_window", false);
  const std::int64_t first = c.integer("max_window_layers", 28, 0);
  return window_of(c, used, first, c.integer("num_hidden_layers"));
}

/// What Llama's relatives have in common; `bias` is none, qkv or attn, `more` further arguments.
std::string llama_like(Reading& r, const std::string& bias, std::int64_t window, std::int64_t default_head,
                       const std::string& more = "") {
  ModelConfig& c = r.config;
  const std::int64_t width = c.integer("hidden_size"), heads = c.integer("num_attention_heads");
  const std::int64_t context = c.integer("max_position_embeddings"), depth = c.integer("num_hidden_layers");
  if (default_head == 0 && !c.has("head_dim") && width % heads != 0)
    c.fail("num_attention_heads", fmt::format("{} heads do not divide a width of {}", heads, width));
  const std::int64_t head = c.integer("head_dim", default_head == 0 ? width / heads : default_head);
  c.expect("hidden_act", "silu");
  c.expect("mlp_bias", false);
  const std::int64_t vocab = c.integer("vocab_size"), hidden = c.integer("intermediate_size");
  return fmt::format(
      "llama(vocab={} context={} width={} depth={} heads={} kv_heads={} hidden={} window={} eps={} head={} "
      "head_width={} bias={}{}{})",
      vocab, context, width, depth, heads, c.integer("num_key_value_heads", heads), hidden, window,
      c.real("rms_norm_eps", 1e-6), head_of(r.tied), head, bias, rotary_of(c, context), more);
}

std::string biased(ModelConfig& c) { return c.flag("attention_bias", false) ? "attn" : "none"; }

std::string llama_arch(Reading& r) { return llama_like(r, biased(r.config), 0, 0); }

std::string mistral_arch(Reading& r) {
  ModelConfig& c = r.config;
  if (!c.mentions("sliding_window")) c.fail("sliding_window", "missing; hint: null for none");
  return llama_like(r, "none", window_of(c, true, 0, c.integer("num_hidden_layers")), 0);
}

std::string qwen2_arch(Reading& r) { return llama_like(r, "qkv", qwen_window(r.config), 0); }

std::string qwen3_arch(Reading& r) {
  return llama_like(r, biased(r.config), qwen_window(r.config), 128, " qk_norm=head");
}

std::string read_config_text(const fs::path& path) {
  if (fs::file_size(path) > kLargestConfig) throw IoError("{}: too large for a configuration", path.string());
  return read_file(path);
}

/// " pool=first", by the configuration of a pooling module; several at once are not supported.
std::string pooling_in(const fs::path& path) {
  ModelConfig c(read_config_text(path), path.string());
  const std::map<std::string, std::string> words{{"cls", "first"}, {"mean", "mean"}};
  std::string chosen = c.word("pooling_mode", "");
  for (const char* mode :
       {"cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"}) {
    const std::string key = fmt::format("pooling_mode_{}", mode);
    if (!c.flag(key, false)) continue;
    if (!chosen.empty()) c.fail(key, "only one pooling is supported; there is " + chosen);
    chosen = std::string(mode) == "cls_token" ? "cls" : std::string(mode) == "mean_tokens" ? "mean" : mode;
  }
  if (!words.contains(chosen)) c.fail("pooling_mode", "only cls and mean are supported; got \"" + chosen + "\"");
  for (const char* key : {"word_embedding_dimension", "embedding_dimension"}) c.integer(key, 1);
  c.flag("include_prompt", true);  // of instructions, which are the text's business
  c.done();
  return " pool=" + words.at(chosen);
}

/// What modules.json puts behind the encoder, if it is there: pooling, and a result of norm 1.
std::string modules_in(const fs::path& folder) {
  const fs::path path = folder / "modules.json";
  if (!fs::exists(path)) return "";
  // A list is no configuration of ours, but its entries are.
  ModelConfig list("{\"modules\": " + read_config_text(path) + "}", path.string());
  std::string text;
  for (ModelConfig& module : list.sections("modules")) {
    const std::string type = module.word("type"), sub = module.word("path", "");
    module.integer("idx", 0, 0);
    module.word("name", "");
    module.done();
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (kind == "Pooling" && text.empty())
      text += pooling_in(folder / fs::path(sub).filename() / "config.json");
    else if (kind == "Normalize" && !text.empty())
      text += " norm=unit";
    else if (kind != "Transformer" || !text.empty())
      module.fail("type", "only Transformer, Pooling and Normalize, in this order, are supported; got " + type);
  }
  return text;
}

/// `name` is bert, or roberta, whose positions are counted.
std::string bert_arch(Reading& r, const char* name, std::int64_t padding) {
  ModelConfig& c = r.config;
  const std::string act = activation_in(c, "hidden_act", "gelu");
  c.expect("position_embedding_type", "absolute");
  c.expect("is_decoder", false);
  c.expect("add_cross_attention", false);
  const std::int64_t vocab = c.integer("vocab_size"), context = c.integer("max_position_embeddings");
  const std::int64_t width = c.integer("hidden_size"), depth = c.integer("num_hidden_layers");
  const std::int64_t heads = c.integer("num_attention_heads"), hidden = c.integer("intermediate_size");
  return fmt::format("{}(vocab={} context={} width={} depth={} heads={} hidden={} types={} padding={} act={} eps={}{})",
                     name, vocab, context, width, depth, heads, hidden, c.integer("type_vocab_size", 2),
                     c.integer("pad_token_id", padding, 0), act, c.real("layer_norm_eps", 1e-12), modules_in(r.folder));
}

std::map<std::string, Family> all_families() {
  const Family roberta{.names = kBertNames,
                       .prefix = "roberta.",
                       .embedding = "embeddings.word_embeddings.weight",
                       .arch = [](Reading& r) { return bert_arch(r, "roberta", 1); }};
  Family bert = roberta;
  bert.prefix = "bert.";
  bert.arch = [](Reading& r) { return bert_arch(r, "bert", 0); };
  const auto llama = [](auto arch) { return Family{kLlamaNames, "model.", "embed_tokens.weight", false, arch}; };
  std::map<std::string, Family> table{{"bert", bert},
                                      {"gpt2", {kGpt2Names, "transformer.", "wte.weight", true, gpt2_arch}},
                                      {"llama", llama(llama_arch)},
                                      {"mistral", llama(mistral_arch)},
                                      {"qwen2", llama(qwen2_arch)},
                                      {"qwen3", llama(qwen3_arch)},
                                      {"roberta", roberta},
                                      {"xlm-roberta", roberta}};
  table.insert(image_families().begin(), image_families().end());
  table.insert({{"clip", {}},  // by its tower
                {"clip_text_model", clip_family({"text"})},
                {"clip_vision_model", clip_family({"vision"})}});
  return table;
}

const std::map<std::string, Family>& families() {
  static const std::map<std::string, Family> table = all_families();
  return table;
}

constexpr double kSlack = 64;  ///< a file may lack tensors: that is for the account to say

/// The numbers of an argument, "24x40" being two; none when it is absent.
std::vector<double> numbers_of(const Call& arch, const char* key) {
  for (const Arg& arg : arch.args)
    if (arg.name == key) {
      if (const auto number = arg.value.number()) return {*number};
      if (!arg.value.name.empty() && std::isdigit(static_cast<unsigned char>(arg.value.name.front())) != 0) {
        const std::vector<int> list = widths_from_text(arg.value.name);
        return {list.begin(), list.end()};
      }
    }
  return {};
}

/// A number that the parameters of the architecture exceed.
double parameters_at_least(const Call& arch) {
  const auto size = [&](const char* key) {
    const std::vector<double> given = numbers_of(arch, key);
    return given.empty() ? 1.0 : given.front();
  };
  if (arch.name == "resnet") {
    const std::vector<double> widths = numbers_of(arch, "widths"), blocks = numbers_of(arch, "blocks");
    double sum = 0;
    for (std::size_t i = 0; i < widths.size(); ++i) sum += widths[i] * widths[i] * blocks[i];
    return sum + 49 * size("stem") * size("in") + size("classes");
  }
  const double block = size("hidden") + size("heads") * size("head_width");
  double embeddings = size("vocab") + (arch.name == "llama" ? 0 : size("context")) + size("types") + size("project");
  const std::vector<double> image = numbers_of(arch, "image");
  if (!image.empty())
    embeddings += image.front() * image.back() / (size("patch") * size("patch")) +
                  size("in") * size("patch") * size("patch") + size("classes") + size("registers");
  return size("width") * (embeddings + size("depth") * block);
}

/// Nobody vouches for a configuration either: what it makes us build must be in proportion to the file.
void require_in_proportion(const Call& arch, const TensorFile& file, const std::string& where) {
  double elements = 0, layers = 0;
  for (const FileTensor& t : file.tensors()) elements += static_cast<double>(t.shape.product());
  for (const char* key : {"depth", "blocks"})
    for (const double count : numbers_of(arch, key)) layers += count;
  const double wanted = parameters_at_least(arch);
  if (wanted > kSlack * elements || layers > kSlack * static_cast<double>(file.tensors().size()))
    throw ConfigError("{}: the model has {:.0f} parameters at least, and the file {:.0f} elements in {} tensors", where,
                      wanted, elements, file.tensors().size());
}

/// What placeholders stand for in a file.
std::map<std::string, std::string> words_in(const TensorFile& file) {
  const auto either = [&](const char* end, const char* yes, const char* no) {
    const auto has = [&](const FileTensor& t) { return t.name.ends_with(end); };
    return std::any_of(file.tensors().begin(), file.tensors().end(), has) ? yes : no;
  };
  return {{"{W}", either("embeddings.LayerNorm.gamma", "gamma", "weight")},
          {"{B}", either("embeddings.LayerNorm.gamma", "beta", "bias")},
          {"{H}", either("cls_classifier.weight", "cls_classifier", "classifier")},
          {"{D}", either(".mlp.weights_out.weight", "weights_out", "fc2")},
          {"{N}", either("fc_norm.weight", "fc_norm", "norm")}};
}

std::string prefix_in(const Family& family, const TensorFile& file) {
  return file.find(family.embedding) != nullptr ? "" : family.prefix;
}
}  // namespace

void replace_each(std::string& text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at)) text.replace(at, what.size(), by);
}

NameTable table_of(const Family& family, const std::string& prefix, bool tied,
                   const std::map<std::string, std::string>& words) {
  std::string text = family.names;
  for (const auto& [placeholder, word] : words) replace_each(text, placeholder, word);
  replace_each(text, "{P}", prefix);
  if (tied) text += fmt::format("tied: [{{name: lm_head.weight, same_as: {}{}}}]\n", prefix, family.embedding);
  return NameTable::parse(Config::parse(text, "table of names"));
}

NameTable family_table(const std::string& model_type, bool bare, const std::map<std::string, std::string>& words,
                       bool tied) {
  const Family& family = families().at(model_type);
  return table_of(family, bare ? "" : family.prefix, tied, words);
}

namespace {
/// The family that the configuration names; for clip that of the tower, which others do not have.
Family family_of(ModelConfig& config, const std::string& where, const Tower& tower) {
  if (is_timm(config)) return timm_family(config);
  const std::string type = config.word("model_type");
  const Family& family = lookup(families(), Call{type, {}, where + ": \"model_type\""}, "model");
  if (type != "clip") {
    if (!tower.name.empty()) config.fail("model_type", fmt::format("{} has no towers; hint: --into auto", type));
    return family;
  }
  if (tower.name != "text" && tower.name != "vision")
    config.fail("model_type", "clip has two towers; hint: --into 'auto(text)' or 'auto(vision)'");
  return clip_family(tower);
}
}  // namespace

Recognised recognise(const TensorFile& file, const std::filesystem::path& path,
                     const std::optional<std::string>& configuration, const Tower& tower) {
  const bool gguf = file.format().starts_with("GGUF");
  const std::string where = gguf ? path.string() : (path.parent_path() / "config.json").string();
  if (!gguf && !configuration) throw ConfigError("{}: missing; hint: --into with an architecture", where);
  Recognised found;
  found.configuration = gguf ? gguf_configuration(file, where) : *configuration;
  ModelConfig config(found.configuration, where);
  const Family family = family_of(config, where, tower);
  const bool has_head = family.names.find("\"lm_head.weight\"") != std::string::npos;
  const bool tied = has_head && config.flag("tie_word_embeddings", family.tied);
  const std::filesystem::path folder = path.parent_path();
  Reading reading{config, tied, file, folder};
  found.into = parse_call(family.arch(reading), where);
  if (!has_head) config.ignore({"tie_word_embeddings"});
  config.done();
  require_in_proportion(found.into, file, where);
  found.exported = table_of(family, gguf ? family.prefix : prefix_in(family, file), tied, words_in(file));
  found.names = gguf ? gguf_table(config) : found.exported;
  return found;
}

std::optional<LibraryNames> library_names(const Call& arch, const TensorFile& file) {
  struct Library {
    const char *name, *arch;
    bool sizes;  ///< also vit_tiny and so on
    const Family& family;
  };
  const auto& known = families();
  for (const Library& library :
       {Library{"transformers", "resnet", false, known.at("resnet")},
        Library{"torchvision and timm", "resnet", false, timm_names("resnet")},
        Library{"transformers", "vit", true, known.at("vit")}, Library{"transformers", "deit", true, known.at("deit")},
        Library{"transformers", "dinov2", false, known.at("dinov2")},
        Library{"transformers", "dinov2", false, known.at("dinov2_with_registers")},
        Library{"timm", "vit", true, timm_names("vit")}, Library{"timm", "deit", true, timm_names("vit")}}) {
    const Family& family = library.family;
    const std::string arch_sizes = std::string(library.arch) + "_";
    if (arch.name != library.arch && !(library.sizes && arch.name.starts_with(arch_sizes))) continue;
    const bool bare = file.find(family.embedding) != nullptr;
    if (!bare && file.find(family.prefix + family.embedding) == nullptr) continue;
    return LibraryNames{library.name, table_of(family, bare ? "" : family.prefix, false, words_in(file))};
  }
  return std::nullopt;
}

}  // namespace retort
