// distill/convert/family.h -- what a family of models is to families.cpp: a reader of its configuration, and a table of
// names.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "distill/convert/families.h"
#include "io/tensor_file.h"
#include "nn/model.h"

namespace retort {

/// What a family reads its model from.
struct Reading {
  ModelConfig& config;
  bool tied;
  const TensorFile& file;
  const std::filesystem::path& folder;  ///< of the file
};

/// `names` is a name table with placeholders: "{P}" for what a file puts before the names of the model without its
/// head, and others for words that differ between files (families.cpp).
struct Family {
  std::string names = {};
  std::string prefix = {};                         ///< "{P}" of a file with a head; files without one may lack it
  std::string embedding = {};                      ///< a tensor that every file has
  bool tied = false;                               ///< the head, by default
  std::function<std::string(Reading&)> arch = {};  ///< our expression
};

/// Every `what` in the text becomes `by`, which does not contain it.
void replace_each(std::string& text, const std::string& what, const std::string& by);
/// The table with a prefix, and words in the other placeholders' places; with `tied` the head is a copy.
NameTable table_of(const Family& family, const std::string& prefix, bool tied,
                   const std::map<std::string, std::string>& words);
/// That of a `model_type` of transformers, for a file of the model with its head, or of the `bare` one.
NameTable family_table(const std::string& model_type, bool bare, const std::map<std::string, std::string>& words,
                       bool tied = false);
/// `described` (families.h) for encoders; nothing for other models.
std::optional<Described> described_encoder(const Model& model);

/// Our name of the activation that the key names. Throws ConfigError for those we do not have.
std::string activation_in(ModelConfig& config, const std::string& key, const std::string& fallback);
/// The classes that a configuration of transformers has.
std::int64_t labels_in(ModelConfig& config);

/// One tower of CLIP.
Family clip_family(const Tower& tower);
/// Networks over images by `model_type`, and those of timm, whose configurations have an `architecture` instead.
const std::map<std::string, Family>& image_families();
bool is_timm(const ModelConfig& config);
/// The family of a configuration of timm. Throws ConfigError for an unknown architecture.
const Family& timm_family(ModelConfig& config);
/// "resnet", which is also torchvision's, or "vit".
const Family& timm_names(const std::string& kind);

}  // namespace retort
