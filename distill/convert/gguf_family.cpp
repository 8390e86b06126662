// distill/convert/gguf_family.cpp -- language models in GGUF: their metadata as a config.json, their names as a table.
#include <charconv>

#include "distill/convert/families.h"
#include "tensor/error.h"

namespace retort {

namespace {
constexpr const char* kNames = R"(
rename:
  - {from: "token_embd.weight", to: "embed.weight"}
  - {from: "blk.*.attn_norm.*", to: "blocks.*.norm1.*"}
  - {from: "blk.*.ffn_norm.*", to: "blocks.*.norm2.*"}
  - {from: "blk.*.attn_output.*", to: "blocks.*.attn.out.*"}
  - {from: "blk.*.attn_*_norm.*", to: "blocks.*.attn.*_norm.*"}
  - {from: "blk.*.attn_*.*", to: "blocks.*.attn.*.*"}
  - {from: "blk.*.ffn_*.*", to: "blocks.*.mlp.*.*"}
  - {from: "output_norm.*", to: "norm.*"}
  - {from: "output.weight", to: "head.weight"}
)";

/// The architecture's keys, "llama.block_count" as "block_count", each read or refused.
class GgufKeys {
 public:
  GgufKeys(const TensorFile& file, std::string arch, std::string where)
      : file_(file), arch_(std::move(arch)), where_(std::move(where)) {}

  /// The number of that key as JSON; null when it is absent and need not be there.
  nlohmann::json number(const std::string& key, bool needed = true) {
    read_.insert(key);
    const auto found = file_.metadata().find(arch_ + "." + key);
    if (found == file_.metadata().end()) {
      if (needed) fail(key, "missing");
      return nullptr;
    }
    const std::string& text = found->second;
    std::int64_t whole = 0;
    double value = 0;
    const char* end = text.data() + text.size();
    if (const auto r = std::from_chars(text.data(), end, whole); r.ec == std::errc() && r.ptr == end) return whole;
    if (const auto r = std::from_chars(text.data(), end, value); r.ec == std::errc() && r.ptr == end) return value;
    fail(key, "expected a number; got " + text.substr(0, 40));
  }
  /// Where another number must be the same.
  void same(const std::string& key, const nlohmann::json& as) {
    const nlohmann::json value = number(key, false);
    if (!value.is_null() && value != as)
      fail(key, fmt::format("only {} is supported; got {}", as.dump(), value.dump()));
  }
  void done() const {
    for (const auto& [key, value] : file_.metadata())
      if (key.starts_with(arch_ + ".") && !read_.contains(key.substr(arch_.size() + 1)))
        fail(key.substr(arch_.size() + 1), "Retort does not know what this changes in the model");
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw ConfigError("{}: \"{}.{}\": {}", where_, arch_, key, what);
  }

  const TensorFile& file_;
  std::string arch_, where_;
  std::set<std::string> read_;
};
}  // namespace

std::string gguf_configuration(const TensorFile& file, const std::string& where) {
  const std::map<std::string, std::string> classes{
      {"llama", "LlamaForCausalLM"}, {"qwen2", "Qwen2ForCausalLM"}, {"qwen3", "Qwen3ForCausalLM"}};
  const auto named = file.metadata().find("general.architecture");
  const std::string arch = named == file.metadata().end() ? "" : named->second;
  const std::string& cls = lookup(classes, Call{arch, {}, where + ": \"general.architecture\""}, "model");
  const FileTensor* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.rank() != 2)
    throw ConfigError("{}: no matrix \"token_embd.weight\"", where);
  GgufKeys keys(file, arch, where);
  nlohmann::json c;
  c["model_type"] = arch;
  c["architectures"] = {cls};
  c["vocab_size"] = embedding->shape[0];
  keys.same("vocab_size", embedding->shape[0]);
  c["hidden_size"] = keys.number("embedding_length");
  c["num_hidden_layers"] = keys.number("block_count");
  c["num_attention_heads"] = keys.number("attention.head_count");
  c["num_key_value_heads"] = keys.number("attention.head_count_kv", false);
  if (c["num_key_value_heads"].is_null()) c["num_key_value_heads"] = c["num_attention_heads"];
  c["intermediate_size"] = keys.number("feed_forward_length");
  c["max_position_embeddings"] = keys.number("context_length");
  c["rms_norm_eps"] = keys.number("attention.layer_norm_rms_epsilon");
  c["hidden_act"] = "silu";
  c["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  ModelConfig sizes(c.dump(), where);
  nlohmann::json head = keys.number("attention.key_length", false);
  if (head.is_null()) head = sizes.integer("hidden_size") / sizes.integer("num_attention_heads");
  c["head_dim"] = head;
  keys.same("attention.value_length", head);
  keys.same("rope.dimension_count", head);
  const nlohmann::json base = keys.number("rope.freq_base", false);
  c["rope_theta"] = base.is_null() ? nlohmann::json(10000.0) : base;
  if (arch != "qwen2") c["attention_bias"] = file.find("blk.0.attn_output.bias") != nullptr;
  keys.done();
  return c.dump(2) + "\n";
}

NameTable gguf_table(ModelConfig config) {
  std::string text = kNames;
  if (config.word("model_type") == "llama")
    text +=
        fmt::format("interleaved: [{{name: \"blk.*.attn_q.*\", head: {0}}}, {{name: \"blk.*.attn_k.*\", head: {0}}}]\n",
                    config.integer("head_dim"));
  return NameTable::parse(Config::parse(text, "table of names"));
}

}  // namespace retort
