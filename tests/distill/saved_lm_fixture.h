// tests/distill/saved_lm_fixture.h -- small language models in checkpoints, with a tokenizer of the fixtures.
#pragma once
#include "distill/text/saved_lm.h"
#include "distill/train/models.h"
#include "io/checkpoint.h"
#include "tests/io/tokenizer_fixture.h"

namespace retort::testing {

inline constexpr const char* kSmallLm = "llama(vocab=430 context=48 width=32 depth=2 heads=4 kv_heads=2 hidden=48)";

/// Writes a model of that architecture with seeded weights, far enough from 0 that it prefers some tokens.
inline void write_lm(const std::string& file, const TextMap& attributes, const std::string& arch = kSmallLm) {
  const auto model = build_model(parse_call(arch, "test"), {});
  for (auto& [name, p] : parameters_of(*model))
    if (p->value.rank() == 2) p->init = Init::normal(0.3);
  initialize(*model, Rng(11));
  CheckpointWriter writer(file);
  writer.attribute("format", "retort-roles-1");
  writer.attribute("arch.model", model->arch());
  for (const auto& [key, value] : attributes) writer.attribute(key, value);
  for (const auto& [name, p] : parameters_of(*model))
    writer.add("model/" + name, p->value.dtype(), p->value.shape(),
               {p->value.raw(), static_cast<std::size_t>(p->value.numel() * size_of(p->value.dtype()))});
  writer.commit();
}

/// What `retort convert` would keep of a folder with a byte-level tokenizer; 0 ends texts.
inline TextMap kept_gpt2() {
  return {{"tokenizer.json", read_file(test::tokenizer_path("gpt2.json"))},
          {"generation_config.json", R"({"eos_token_id": [0]})"}};
}

inline SavedLm small_lm(DType dtype, const TextMap& attributes = kept_gpt2()) {
  const test::TemporaryFolder folder;
  write_lm(folder.file("model.h5"), attributes);
  return open_saved_lm({.file = folder.file("model.h5"), .role = "", .tokenizer = "", .dtype = dtype});
}

}  // namespace retort::testing
