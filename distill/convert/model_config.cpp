// distill/convert/model_config.cpp -- typed readers, and the account of keys.
#include "distill/convert/model_config.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "io/json.h"
#include "tensor/error.h"

namespace retort {

namespace {
/// Keys that say nothing about what a model computes from tokens in evaluation: names, versions, special tokens,
/// habits of training and generation, heads of other tasks.
bool changes_nothing(const std::string& key) {
  static const std::set<std::string, std::less<>> known{"architectures",
                                                        "attention_dropout",
                                                        "attention_probs_dropout_prob",
                                                        "attn_pdrop",
                                                        "bos_token_id",
                                                        "classifier_dropout",
                                                        "cls_token_id",
                                                        "dtype",
                                                        "embd_pdrop",
                                                        "eos_token_id",
                                                        "finetuning_task",
                                                        "gradient_checkpointing",
                                                        "hidden_dropout_prob",
                                                        "id2label",
                                                        "initializer_range",
                                                        "is_llama_config",
                                                        "label2id",
                                                        "name_or_path",
                                                        "num_labels",
                                                        "output_attentions",
                                                        "output_hidden_states",
                                                        "output_past",
                                                        "pad_token_id",
                                                        "pretraining_tp",
                                                        "problem_type",
                                                        "reorder_and_upcast_attn",
                                                        "resid_pdrop",
                                                        "return_dict",
                                                        "sep_token_id",
                                                        "task_specific_params",
                                                        "tokenizer_class",
                                                        "torch_dtype",
                                                        "torchscript",
                                                        "transformers.js_config",
                                                        "transformers_version",
                                                        "unsloth_fixed",
                                                        "unsloth_version",
                                                        "use_cache"};
  return known.contains(key) || key.starts_with("_") || key.starts_with("summary_");
}
}  // namespace

ModelConfig::ModelConfig(std::string_view text, const std::string& where)
    : json_(parse_json(text, where)), where_(where) {
  if (!json_.is_object()) throw ConfigError("{}: a configuration is an object; got {}", where, json_.type_name());
}

bool ModelConfig::has(const std::string& key) const { return json_.contains(key) && !json_.at(key).is_null(); }

void ModelConfig::fail(const std::string& key, const std::string& what) const {
  throw ConfigError("{}: \"{}\": {}", where_, key, what);
}

const nlohmann::json& ModelConfig::at(const std::string& key) {
  read_.insert(key);
  if (!has(key)) fail(key, "missing");
  return json_.at(key);
}

std::int64_t ModelConfig::integer(const std::string& key) {
  at(key);
  return integer(key, 0, 1);
}

std::int64_t ModelConfig::integer(const std::string& key, std::int64_t fallback, std::int64_t least) {
  read_.insert(key);
  if (!has(key)) return fallback;
  const nlohmann::json& value = at(key);
  if (!value.is_number_integer() || value.get<double>() > INT32_MAX || value.get<double>() < static_cast<double>(least))
    fail(key, fmt::format("expected a whole number from {}; got {}", least, value.dump()));
  return value.get<std::int64_t>();
}

double ModelConfig::real(const std::string& key) {
  const nlohmann::json& value = at(key);
  if (!value.is_number() || !(value.get<double>() > 0)) fail(key, "expected a positive number; got " + value.dump());
  return value.get<double>();
}

std::string ModelConfig::word(const std::string& key) {
  const nlohmann::json& value = at(key);
  if (!value.is_string()) fail(key, "expected a text; got " + value.dump());
  return value.get<std::string>();
}

bool ModelConfig::flag(const std::string& key, bool fallback) {
  read_.insert(key);
  if (!has(key)) return fallback;
  const nlohmann::json& value = at(key);
  if (!value.is_boolean()) fail(key, "expected true or false; got " + value.dump());
  return value.get<bool>();
}

double ModelConfig::real(const std::string& key, double fallback) {
  read_.insert(key);
  return has(key) ? real(key) : fallback;
}

std::string ModelConfig::word(const std::string& key, const std::string& fallback) {
  read_.insert(key);
  return has(key) ? word(key) : fallback;
}

std::vector<std::string> ModelConfig::words(const std::string& key) {
  read_.insert(key);
  std::vector<std::string> list;
  if (!has(key)) return list;
  const nlohmann::json& value = at(key);
  const bool texts = value.is_array() &&
                     std::all_of(value.begin(), value.end(), [](const nlohmann::json& v) { return v.is_string(); });
  if (!texts) fail(key, "expected a list of texts; got " + value.dump());
  for (const nlohmann::json& v : value) list.push_back(v.get<std::string>());
  return list;
}

std::vector<std::int64_t> ModelConfig::integers(const std::string& key, const std::vector<std::int64_t>& fallback) {
  read_.insert(key);
  if (!has(key)) return fallback;
  const nlohmann::json& value = at(key);
  std::vector<std::int64_t> list;
  const auto fits = [](const nlohmann::json& v) {
    return v.is_number_integer() && v.get<double>() >= 1 && v.get<double>() <= INT32_MAX;
  };
  if (!value.is_array() || value.empty() || !std::all_of(value.begin(), value.end(), fits))
    fail(key, "expected a list of positive whole numbers; got " + value.dump());
  for (const nlohmann::json& v : value) list.push_back(v.get<std::int64_t>());
  return list;
}

std::pair<std::int64_t, std::int64_t> ModelConfig::extents(const std::string& key, std::int64_t fallback) {
  if (!has(key) || !json_.at(key).is_array()) {
    const std::int64_t side = integer(key, fallback);
    return {side, side};
  }
  const std::vector<std::int64_t> both = integers(key, {});
  if (both.size() != 2) fail(key, "expected a height and a width; got " + json_.at(key).dump());
  return {both[0], both[1]};
}

std::int64_t ModelConfig::entries(const std::string& key, std::int64_t fallback) {
  read_.insert(key);
  if (!has(key)) return fallback;
  const nlohmann::json& value = at(key);
  if (!value.is_object()) fail(key, "expected an object; got " + value.dump());
  return static_cast<std::int64_t>(value.size());
}

void ModelConfig::ignore(std::initializer_list<const char*> keys) { read_.insert(keys.begin(), keys.end()); }

ModelConfig ModelConfig::section(const std::string& key) {
  read_.insert(key);
  return {has(key) ? at(key).dump() : "{}", where_ + ": " + key};
}

std::vector<ModelConfig> ModelConfig::sections(const std::string& key) {
  const nlohmann::json& value = at(key);
  if (!value.is_array()) fail(key, "expected a list; got " + value.dump());
  std::vector<ModelConfig> list;
  for (const nlohmann::json& v : value) list.emplace_back(v.dump(), where_);
  return list;
}

void ModelConfig::expect(const std::string& key, const nlohmann::json& only) {
  read_.insert(key);
  if (has(key) && at(key) != only) fail(key, fmt::format("only {} is supported; got {}", only.dump(), at(key).dump()));
}

void ModelConfig::done() const {
  std::vector<std::string> left;
  for (const auto& [key, value] : json_.items())
    if (!value.is_null() && !read_.contains(key) && !changes_nothing(key)) left.push_back(key);
  if (!left.empty())
    throw ConfigError(
        "{}: \"{}\": Retort does not know what this changes in the model; hint: --into with an architecture, and "
        "--names",
        where_, fmt::join(left, "\", \""));
}

}  // namespace retort
