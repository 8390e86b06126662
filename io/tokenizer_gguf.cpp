// io/tokenizer_gguf.cpp -- byte-level BPE, and SentencePiece's, in the metadata of a GGUF file.
// github.com/ggml-org/ggml, docs/gguf.md
#include <algorithm>

#include "io/json.h"
#include "io/tokenizer_spm.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::string_view kGgufPrefix = "tokenizer.ggml.";

// `tokenizer.ggml.token_type`.
enum GgufTokenType : std::int64_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

/// What `tokenizer.ggml.pre` says about cutting a text into words and about merging.
struct GgufPreset {
  const char* name;
  bool digits;          ///< each digit is a word, before all else
  const char* pattern;  ///< of words
  bool ignore_merges;   ///< a word that is a token is that token
  bool bos;             ///< texts begin with bos, where the file does not say
};

constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

const GgufPreset* preset_named(std::string_view name) {
  static const GgufPreset presets[] = {{"gpt-2", false, kGpt2Pattern, false, false},
                                       {"smollm", true, kGpt2Pattern, false, false},
                                       {"starcoder", true, kGpt2Pattern, false, false},
                                       {"llama-bpe", false, kLlama3Pattern, true, true},
                                       {"qwen2", false, kQwen2Pattern, false, false}};
  const auto found =
      std::find_if(std::begin(presets), std::end(presets), [&](const auto& p) { return p.name == name; });
  return found == std::end(presets) ? nullptr : found;
}

/// The metadata under tokenizer.ggml, as JSON.
nlohmann::json ggml_metadata(const TextMap& metadata, const std::string& where) {
  nlohmann::json all = nlohmann::json::object();
  for (const auto& [key, value] : metadata) {
    if (!key.starts_with(kGgufPrefix)) continue;
    const std::string name = key.substr(kGgufPrefix.size());
    const bool text = name == "model" || name == "pre";
    all[name] = text ? nlohmann::json(value) : parse_json(value, where + ": " + key);
  }
  return all;
}

std::vector<std::int64_t> read_types(const JsonNode& root, std::size_t count) {
  const auto at = root.find("token_type");
  if (!at) return std::vector<std::int64_t>(count, kNormal);
  if (!at->value().is_array() || at->value().size() != count)
    at->fail(fmt::format("a list with a type for each of the {} tokens is wanted", count));
  std::vector<std::int64_t> types;
  for (std::size_t i = 0; i < count; ++i) types.push_back(at->item(i).integer(kNormal, kByte));
  return types;
}

/// The file says bos, or eos, by id and by whether a text has it.
std::optional<std::int64_t> read_mark(const JsonNode& root, const std::string& mark, bool wanted, std::int64_t end) {
  const auto said = root.find("add_" + mark + "_token");
  if (said) wanted = said->flag();
  const std::string key = mark + "_token_id";
  if (!wanted) return std::nullopt;
  return root.at(key).integer(0, end - 1);
}

}  // namespace

namespace {
/// Ids around a text.
TokenTemplate read_form(const JsonNode& root, bool bos, std::int64_t end) {
  const auto before = read_mark(root, "bos", bos, end), behind = read_mark(root, "eos", false, end);
  TokenTemplate form;
  if (before) form.push_back(before);
  form.emplace_back(std::nullopt);
  if (behind) form.push_back(behind);
  return form;
}

/// `tokenizer.ggml.model` llama: pieces with scores and types.
std::unique_ptr<TokenizerParts> read_gguf_spm(const JsonNode& root) {
  if (const auto pre = root.find("pre"); pre && pre->text() != "default")
    pre->fail(fmt::format("\"{}\" is not supported for llama", pre->text()));
  const JsonNode tokens = root.at("tokens"), scores = root.at("scores");
  if (!tokens.value().is_array()) tokens.fail("a list of tokens is wanted");
  const std::size_t count = tokens.value().size();
  if (!scores.value().is_array() || scores.value().size() != count)
    scores.fail(fmt::format("a list with a score for each of the {} tokens is wanted", count));
  const std::vector<std::int64_t> types = read_types(root, count);
  SpmModel model;
  model.bpe = true;
  model.byte_fallback = std::find(types.begin(), types.end(), kByte) != types.end();
  model.prefix = root.flag_or("add_space_prefix", true);
  model.remove_spaces = root.flag_or("remove_extra_whitespaces", false);
  for (std::size_t i = 0; i < count; ++i)
    model.pieces.push_back({tokens.item(i).text(), scores.item(i).real(), static_cast<SpmType>(types[i])});
  model.form = read_form(root, true, static_cast<std::int64_t>(count));
  return make_spm(std::move(model), root.where());
}
}  // namespace

std::unique_ptr<TokenizerParts> read_gguf_tokenizer(const TextMap& file, const std::string& where) {
  const nlohmann::json metadata = ggml_metadata(file, where);
  const JsonNode root(metadata, where + ": tokenizer.ggml");
  // Marks whose ids are for the model's user have no part in turning text into tokens, nor have scores in BPE.
  root.only({"model", "pre", "tokens", "token_type", "merges", "scores", "add_space_prefix", "add_bos_token",
             "add_eos_token", "bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "unknown_token_id",
             "padding_token_id", "separator_token_id", "cls_token_id", "mask_token_id", "remove_extra_whitespaces"});
  const std::string model = root.at("model").text();
  if (model == "llama") return read_gguf_spm(root);
  if (model != "gpt2")
    root.at("model").fail(fmt::format("tokenizers of the kind \"{}\" are not supported; known are gpt2 llama", model));
  const JsonNode pre = root.at("pre");
  const GgufPreset* preset = preset_named(pre.text());
  if (preset == nullptr)
    pre.fail(fmt::format("\"{}\" is not supported; known are gpt-2 smollm starcoder llama-bpe qwen2", pre.text()));
  if (root.flag_or("add_space_prefix", false)) root.at("add_space_prefix").fail("not supported for gpt2");

  auto parts = std::make_unique<TokenizerParts>();
  Vocabulary vocabulary;
  const JsonNode tokens = root.at("tokens");
  if (!tokens.value().is_array()) tokens.fail("a list of tokens is wanted");
  const std::vector<std::int64_t> types = read_types(root, tokens.value().size());
  for (std::size_t i = 0; i < types.size(); ++i) {
    const auto id = static_cast<std::int64_t>(i);
    const std::string token = tokens.item(i).text();
    vocabulary.add(token, id, tokens);
    if (types[i] != kControl && types[i] != kUserDefined) continue;
    if (token.empty()) tokens.item(i).fail("an added token has no text");
    parts->added.add({.text = token, .id = id, .special = types[i] == kControl});
  }
  vocabulary.index(tokens);
  const std::int64_t end = vocabulary.end();
  BpeOptions options;
  options.merges = read_merges(root.at("merges"));
  options.ignore_merges = preset->ignore_merges;
  parts->model = make_bpe(std::move(vocabulary), std::move(options), root);
  if (preset->digits) parts->splitters.push_back(split_into_digits());
  parts->splitters.push_back(split_at_pattern(Regex(preset->pattern, pre.where()), SplitBehavior::isolated, false));
  parts->splitters.push_back(spell_in_bytes());
  parts->decoders.push_back(join_bytes());
  parts->spells_bytes = true;
  parts->templates.push_back(read_form(root, preset->bos, end));
  parts->added.index([](std::string_view token) { return std::string(token); });
  return parts;
}

}  // namespace retort
