#include "distill/text/saved_lm.h"

#include <algorithm>

#include "distill/data/chat.h"
#include "distill/data/text_coder.h"
#include "distill/train/roles.h"
#include "io/file.h"
#include "io/json.h"
#include "io/json_node.h"
#include "nn/models/causal_lm.h"

namespace retort {
namespace fs = std::filesystem;

namespace {
std::string text_at(const TextMap& attributes, const std::string& key) {
  const auto found = attributes.find(key);
  return found == attributes.end() ? "" : found->second;
}

LmCodec codec_for(const SavedLmSpec& spec, const TextMap& attributes) {
  if (spec.tokenizer == "bytes") return {};
  if (!spec.tokenizer.empty()) return LmCodec(open_tokenizer(spec.tokenizer));
  if (attributes.contains("tokenizer.json") || attributes.contains("foreign.tokenizer.ggml.model"))
    return LmCodec(open_tokenizer(spec.file));
  const fs::path beside = spec.file.parent_path() / "tokenizer.json";
  if (fs::is_regular_file(beside)) return LmCodec(open_tokenizer(beside));
  throw IoError("{}: no tokenizer in it, and no {}; hint: --tokenizer FILE, or bytes", spec.file.string(),
                beside.string());
}

/// Collects ends from what the file kept.
class EndReader {
 public:
  EndReader(const TextMap& attributes, const LmCodec& codec, std::string where)
      : attributes_(attributes), codec_(codec), where_(std::move(where)) {}

  std::vector<std::int64_t> read() {
    if (codec_.tokenizer() == nullptr) return {kPassageMark};
    for (const std::string name : {"generation_config.json", "config.json"})
      with(name, [&](const JsonNode& root) {
        if (const auto end = root.find("eos_token_id")) add_ids(*end);
      });
    with("tokenizer_config.json", [&](const JsonNode& root) {
      if (const auto end = root.find("eos_token")) add_token(*end);
    });
    for (const std::string mark : {"eos", "eot", "eom"}) {
      const std::string key = "foreign.tokenizer.ggml." + mark + "_token_id";
      with(key, [&](const JsonNode& id) { add_ids(id); });
    }
    std::sort(ends_.begin(), ends_.end());
    ends_.erase(std::unique(ends_.begin(), ends_.end()), ends_.end());
    return std::move(ends_);
  }

 private:
  template <class F>
  void with(const std::string& key, F&& use) {
    const std::string text = text_at(attributes_, key);
    if (text.empty()) return;
    const std::string where = where_ + ": " + key;
    const nlohmann::json json = parse_json(text, where);
    use(JsonNode(json, where));
  }
  void add_ids(const JsonNode& at) {
    if (!at.value().is_array()) return ends_.push_back(at.integer(0, INT32_MAX));
    for (const JsonNode& id : at.items()) ends_.push_back(id.integer(0, INT32_MAX));
  }
  /// "</s>", or {"content": "</s>", ..}.
  void add_token(const JsonNode& at) {
    const std::string token = at.value().is_object() ? at.at("content").text() : at.text();
    const auto id = codec_.id_of(token);
    if (!id) at.fail(fmt::format("the tokenizer has no token \"{}\"", token));
    ends_.push_back(*id);
  }

  const TextMap& attributes_;
  const LmCodec& codec_;
  std::string where_;
  std::vector<std::int64_t> ends_;
};
}  // namespace

std::int64_t SavedLm::context() const {
  const auto* lm = dynamic_cast<const CausalLm*>(role->model.get());
  return lm == nullptr ? INT64_MAX : lm->config.context;
}

Ctx SavedLm::call() const {
  Ctx ctx;
  ctx.compute = role->compute;
  return ctx;
}

SavedLm open_saved_lm(const SavedLmSpec& spec) {
  const TextMap attributes = open_tensor_file(spec.file)->metadata();
  SavedLm lm;
  lm.where = spec.file.string();
  Config node;
  node.set("net", lm.where);
  if (!spec.role.empty()) node.set("role", spec.role);
  RoleSettings settings;
  settings.locate = [](const std::string& name) { return fs::path(name); };
  settings.dtype = spec.dtype == DType::f64 ? DType::f64 : DType::f32;
  settings.device = kCpu;
  lm.role = saved_role(node, settings);
  if (dynamic_cast<const Decoder*>(lm.role->model.get()) == nullptr)
    throw ConfigError("{}: no language model: {}", lm.where, lm.role->model->arch());
  if (size_of(spec.dtype) == 2) {
    lm.role->compute = spec.dtype;
    set_shadows(*lm.role->model, spec.dtype);
  }
  lm.codec = codec_for(spec, attributes);
  const auto* causal = dynamic_cast<const CausalLm*>(lm.role->model.get());
  if (causal != nullptr && causal->config.vocab < lm.codec.vocab_size())
    throw ConfigError("{}: the model knows {} tokens, and the tokenizer has {}", lm.where, causal->config.vocab,
                      lm.codec.vocab_size());
  lm.ends = EndReader(attributes, lm.codec, lm.where).read();
  lm.chat_template = chat_template_in(attributes, lm.where);
  return lm;
}

}  // namespace retort
