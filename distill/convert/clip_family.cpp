// distill/convert/clip_family.cpp -- CLIP of transformers: two towers in one file, of which one is taken.
#include "distill/convert/family.h"
#include "nn/models/vit.h"
#include "tensor/error.h"

namespace retort {

namespace {
constexpr const char* kBlockNames = R"(
  - {from: "{P}encoder.layers.*.self_attn.out_proj.*", to: "{T}blocks.*.attn.out.*"}
  - {from: "{P}encoder.layers.*.self_attn.*_proj.*", to: "{T}blocks.*.attn.*.*"}
  - {from: "{P}encoder.layers.*.layer_norm1.*", to: "{T}blocks.*.norm1.*"}
  - {from: "{P}encoder.layers.*.layer_norm2.*", to: "{T}blocks.*.norm2.*"}
  - {from: "{P}encoder.layers.*.mlp.fc1.*", to: "{T}blocks.*.mlp.up.*"}
  - {from: "{P}encoder.layers.*.mlp.fc2.*", to: "{T}blocks.*.mlp.down.*"})";
constexpr const char* kTextNames = R"(
  - {from: "{P}embeddings.token_embedding.weight", to: "embed.weight"}
  - {from: "{P}embeddings.position_embedding.weight", to: "positions.weight"}
  - {from: "{P}final_layer_norm.*", to: "norm.*"}
  - {from: "text_projection.weight", to: "end.projection.weight"}
  - {from: "logit_scale", to: "end.logit_scale"}
drop: ["{P}embeddings.position_ids", "vision_model.**", "visual_projection.weight"{S}]
)";
constexpr const char* kVisionNames = R"(
  - {from: "{P}embeddings.class_embedding", to: "tower.class_token"}
  - {from: "{P}embeddings.patch_embedding.weight", to: "tower.patch_embed.proj.weight"}
  - {from: "{P}embeddings.position_embedding.weight", to: "tower.positions"}
  - {from: "{P}pre_layrnorm.*", to: "tower.pre_norm.*"}
  - {from: "{P}post_layernorm.*", to: "tower.norm.*"}
  - {from: "visual_projection.weight", to: "end.projection.weight"}
  - {from: "logit_scale", to: "end.logit_scale"}
drop: ["{P}embeddings.position_ids", "text_model.**", "text_projection.weight"{S}]
)";

/// What older versions wrote into the section of a tower: generation of texts, which neither does.
void ignore_generation(ModelConfig& c) {
  c.ignore({"bad_words_ids",
            "begin_suppress_tokens",
            "chunk_size_feed_forward",
            "decoder_start_token_id",
            "diversity_penalty",
            "do_sample",
            "early_stopping",
            "encoder_no_repeat_ngram_size",
            "exponential_decay_length_penalty",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "length_penalty",
            "max_length",
            "min_length",
            "no_repeat_ngram_size",
            "num_beam_groups",
            "num_beams",
            "num_return_sequences",
            "output_scores",
            "prefix",
            "remove_invalid_values",
            "repetition_penalty",
            "return_dict_in_generate",
            "suppress_tokens",
            "temperature",
            "tf_legacy_loss",
            "tie_encoder_decoder",
            "tie_word_embeddings",
            "top_k",
            "top_p",
            "typical_p",
            "use_bfloat16"});
  for (const char* key : {"add_cross_attention", "is_decoder", "is_encoder_decoder"}) c.expect(key, false);
  c.expect("cross_attention_hidden_size", nullptr);
  c.expect("pruned_heads", nlohmann::json::object());
}

/// Sizes of the blocks, for which `width`, `heads` and `hidden` are the defaults.
std::string blocks_of(ModelConfig& c, std::int64_t width, std::int64_t heads, std::int64_t hidden) {
  c.ignore({"dropout", "initializer_factor", "model_type"});
  ignore_generation(c);
  return fmt::format("width={} depth={} heads={} hidden={} act={} eps={}", c.integer("hidden_size", width),
                     c.integer("num_hidden_layers", 12), c.integer("num_attention_heads", heads),
                     c.integer("intermediate_size", hidden), activation_in(c, "hidden_act", "quick_gelu"),
                     c.real("layer_norm_eps", 1e-5));
}

std::string text_sizes(ModelConfig& c) {
  const std::string blocks = blocks_of(c, 512, 8, 2048);
  // The id 2 stands in old configurations, whatever the token's id was: the library then takes the largest.
  const std::int64_t end = c.integer("eos_token_id", 49407, 0), vocab = c.integer("vocab_size", 49408);
  if (end >= vocab) c.fail("eos_token_id", fmt::format("is {}, and there are {} tokens", end, vocab));
  return fmt::format("clip_text(vocab={} context={} {} end={}", vocab, c.integer("max_position_embeddings", 77), blocks,
                     end == 2 ? "largest" : fmt::format("{}", end));
}

std::string vision_sizes(ModelConfig& c) {
  const std::string blocks = blocks_of(c, 768, 12, 3072);
  const std::int64_t image = c.integer("image_size", 224);
  return fmt::format("clip_vision(image={} patch={} in={} {}", image, c.integer("patch_size", 32),
                     c.integer("num_channels", 3), blocks);
}

/// A tower as it stands alone, or as a part of the whole model, whose results have norm 1.
std::string tower_arch(Reading& r, const Tower& tower) {
  const bool text = tower.name == "text", whole = r.config.word("model_type") == "clip";
  const auto expression = [&](ModelConfig& c, const std::string& end) {
    return (text ? text_sizes(c) : vision_sizes(c)) + " " + end + ")";
  };
  if (!whole) {
    const std::int64_t project = r.config.integer("projection_dim", 512);
    const bool projected = r.file.find(text ? "text_projection.weight" : "visual_projection.weight") != nullptr;
    return expression(r.config, fmt::format("project={}", projected ? project : 0));
  }
  ModelConfig& c = r.config;
  c.ignore({"text_config", "text_config_dict", "vision_config", "vision_config_dict", "logit_scale_init_value",
            "initializer_factor"});
  // The older section, where it is there, replaces the other one, its defaults included.
  const std::string key = tower.name + "_config", older = key + "_dict";
  ModelConfig section = c.section(c.has(older) ? older : key);
  section.ignore({"projection_dim"});
  const std::string arch =
      expression(section, fmt::format("project={} norm=unit scale={}", c.integer("projection_dim", 512),
                                      tower.scaled ? "learned" : "none"));
  section.done();
  return arch;
}
}  // namespace

Family clip_family(const Tower& tower) {
  const bool text = tower.name == "text";
  std::string names = fmt::format("rename:{}{}", kBlockNames, text ? kTextNames : kVisionNames);
  replace_each(names, "{T}", text ? "" : "tower.");
  replace_each(names, "{S}", tower.scaled ? "" : ", logit_scale");
  return {.names = names,
          .prefix = text ? "text_model." : "vision_model.",
          .embedding = text ? "embeddings.token_embedding.weight" : "embeddings.class_embedding",
          .arch = [tower](Reading& r) { return tower_arch(r, tower); }};
}

}  // namespace retort
