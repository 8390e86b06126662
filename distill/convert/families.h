// distill/convert/families.h -- models of other libraries that are recognised: from their configuration to our
// architecture and the table of names.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "distill/convert/model_config.h"
#include "distill/convert/name_table.h"
#include "distill/train/call.h"
#include "io/tensor_file.h"

namespace retort {

struct Recognised {
  Call into;                  ///< the architecture (distill/train/models.h)
  NameTable names;            ///< from the file's names
  NameTable exported;         ///< from the names of the library that defines the model; differs for GGUF
  std::string configuration;  ///< that library's config.json
};

/// Which model of a file that has several: of CLIP text or vision, and whether its result is multiplied by the learned
/// scale of the logits.
struct Tower {
  std::string name = {};
  bool scaled = false;
};

/// What the file is, by `configuration` (the config.json beside it), or by its own metadata where it is a GGUF. Known
/// `model_type`s are gpt2, llama (also SmolLM), mistral, qwen2 and qwen3; bert (also MiniLM), roberta and xlm-roberta,
/// whose pooling is read from a modules.json beside it and whose heads are dropped; resnet, vit, deit, dinov2 and
/// dinov2_with_registers, which without a classifier give their last states; clip, of which
/// `tower` is taken, and clip_text_model and clip_vision_model. A configuration of timm's hub names an
/// `architecture`: resnet18 to resnet152, vit_SIZE_patchP_IMAGE, deit_SIZE_[distilled_]patchP_IMAGE. Throws ConfigError
/// for another one, for keys that nobody read and values that are not supported: nothing that changes the arithmetic is
/// passed over. Rates of dropout are not taken over.
Recognised recognise(const TensorFile& file, const std::filesystem::path& path,
                     const std::optional<std::string>& configuration, const Tower& tower = {});

struct Described {
  NameTable names;
  std::string configuration;  ///< config.json
};

/// The other way, for models that were trained here: what the library of its family would call the tensors of `arch`,
/// gpt2(..), llama(..), bert(..), roberta(..), resnet(..), vit(..), deit(..) or a tower of clip, and say of it. Throws
/// ConfigError for other architectures, and for keys that no family has together.
Described described(const Call& arch);

/// The names of a library for models of `arch`, by a tensor that marks them.
struct LibraryNames {
  std::string library;  ///< "timm"
  NameTable names;
};
/// For files without a configuration that lie under the names of transformers, torchvision or timm, where `arch` is
/// resnet(..), vit(..), deit(..) or dinov2(..); nothing for any other names.
std::optional<LibraryNames> library_names(const Call& arch, const TensorFile& file);

/// The configuration of a GGUF of `general.architecture` llama, qwen2 or qwen3, as config.json has it; throws
/// ConfigError as above.
std::string gguf_configuration(const TensorFile& file, const std::string& where);
/// From its names; rows of queries and keys of llama lie in interleaved pairs.
NameTable gguf_table(ModelConfig config);

}  // namespace retort
