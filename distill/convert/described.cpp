// distill/convert/described.cpp -- our models as the library of their family would save them: decoders.
#include "distill/convert/family.h"
#include "distill/train/models.h"
#include "nn/models/causal_lm.h"
#include "tensor/error.h"

namespace retort {

namespace {
using Json = nlohmann::ordered_json;

Json gpt2_config(const CausalLmConfig& c) {
  return {{"model_type", "gpt2"},
          {"architectures", {"GPT2LMHeadModel"}},
          {"vocab_size", c.vocab},
          {"n_positions", c.context},
          {"n_embd", c.width},
          {"n_layer", c.depth},
          {"n_head", c.heads},
          {"n_inner", c.hidden},
          {"activation_function", "gelu_new"},
          {"layer_norm_epsilon", c.eps},
          {"tie_word_embeddings", c.tied},
          {"torch_dtype", "float32"}};
}

/// The family that has what this model has, and its class.
std::pair<std::string, std::string> relative_of(const CausalLmConfig& c, const std::string& arch) {
  const bool window = c.window > 0;
  if (c.rotary.width == 0) {
    if (c.qk_norm && c.bias != LmBias::qkv) return {"qwen3", "Qwen3ForCausalLM"};
    if (!c.qk_norm && c.bias == LmBias::qkv) return {"qwen2", "Qwen2ForCausalLM"};
    if (!c.qk_norm && c.bias == LmBias::none && window) return {"mistral", "MistralForCausalLM"};
    if (!c.qk_norm && !window) return {"llama", "LlamaForCausalLM"};
  }
  throw ConfigError("export: no known family has the keys of {}", arch);
}

Json scaling_of(const RotaryConfig& r) {
  switch (r.scaling) {
    case RotaryScaling::none:
      return nullptr;
    case RotaryScaling::linear:
      return {{"rope_type", "linear"}, {"factor", r.factor}};
    case RotaryScaling::llama3:
      return {{"rope_type", "llama3"},
              {"factor", r.factor},
              {"low_freq_factor", r.low},
              {"high_freq_factor", r.high},
              {"original_max_position_embeddings", static_cast<std::int64_t>(r.original)}};
    case RotaryScaling::yarn:
      return {{"rope_type", "yarn"},
              {"factor", r.factor},
              {"beta_slow", r.slow},
              {"beta_fast", r.fast},
              {"attention_factor", r.attention},
              {"truncate", r.truncate},
              {"original_max_position_embeddings", static_cast<std::int64_t>(r.original)}};
  }
  return nullptr;
}

Json llama_config(const CausalLmConfig& c, const std::string& arch) {
  const auto [type, cls] = relative_of(c, arch);
  Json json{{"model_type", type},
            {"architectures", {cls}},
            {"vocab_size", c.vocab},
            {"max_position_embeddings", c.context},
            {"hidden_size", c.width},
            {"num_hidden_layers", c.depth},
            {"num_attention_heads", c.heads},
            {"num_key_value_heads", c.kv_heads},
            {"head_dim", c.head_width == 0 ? c.width / c.heads : c.head_width},
            {"intermediate_size", c.hidden},
            {"hidden_act", "silu"},
            {"rms_norm_eps", c.eps},
            {"rope_theta", c.rotary.base},
            {"rope_scaling", scaling_of(c.rotary)},
            {"tie_word_embeddings", c.tied},
            {"torch_dtype", "float32"}};
  if (type == "llama" || type == "qwen3") json["attention_bias"] = c.bias == LmBias::attn;
  if (type != "llama") json["sliding_window"] = c.window > 0 ? Json(c.window) : Json(nullptr);
  if (type.starts_with("qwen")) {
    json["use_sliding_window"] = c.window > 0;
    json["max_window_layers"] = c.window > 0 ? 0 : c.depth;
  }
  return json;
}
}  // namespace

Described described(const Call& arch) {
  const auto model = build_model(arch, {});
  const auto* lm = dynamic_cast<const CausalLm*>(model.get());
  if (lm == nullptr) {
    if (auto encoder = described_encoder(*model)) return std::move(*encoder);
    throw ConfigError(
        "export: the names of another library are known for gpt2, llama, bert, roberta, resnet, vit, deit, dinov2, "
        "clip_text and clip_vision; got {}",
        arch.name);
  }
  const CausalLmConfig& c = lm->config;
  const Json json = c.layout == LmLayout::gpt2 ? gpt2_config(c) : llama_config(c, lm->arch());
  return {family_table(json["model_type"].get<std::string>(), false, {}, c.tied), json.dump(2) + "\n"};
}

}  // namespace retort
