// distill/convert/companions.h -- what stands beside a model's weights and travels with them: configuration, tokenizer.
#pragma once
#include <filesystem>

#include "io/tensor_file.h"

namespace retort {

/// The texts beside a file of weights that say what the model is and how it is used, by name: config.json,
/// generation_config.json, tokenizer.json, tokenizer_config.json, chat_template.jinja, as far as they are there. In a
/// checkpoint they are attributes of these names. Throws IoError for one that is too large, no JSON, or no text.
TextMap companions_beside(const std::filesystem::path& weights);
/// Those among the attributes of a checkpoint.
TextMap companions_in(const TextMap& attributes);
/// Writes them beside a file of weights; another text of the same name is not overwritten but an IoError.
void write_companions(const TextMap& companions, const std::filesystem::path& weights);

}  // namespace retort
