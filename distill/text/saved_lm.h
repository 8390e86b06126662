// distill/text/saved_lm.h -- a language model in a checkpoint, with what it takes to talk to it.
#pragma once
#include <filesystem>

#include "distill/text/lm_codec.h"
#include "distill/train/setup.h"
#include "io/tensor_file.h"
#include "nn/decoder.h"

namespace retort {

struct SavedLm {
  std::unique_ptr<Role> role;
  LmCodec codec;
  std::vector<std::int64_t> ends;  ///< tokens after which the model has nothing to say
  std::string chat_template;       ///< the Jinja text that came with it, or ""
  std::string where;               ///< the file

  const Decoder& decoder() const { return dynamic_cast<const Decoder&>(*role->model); }
  /// The most positions it reads.
  std::int64_t context() const;
  /// What its calls are told.
  Ctx call() const;
};

struct SavedLmSpec {
  std::filesystem::path file;  ///< a checkpoint of `retort convert --into`, or of a run
  std::string role;            ///< may be empty where there is one
  std::string tokenizer;       ///< a file, or "bytes"; "": what the file kept, or stands beside it
  DType dtype = DType::f32;    ///< to compute in: f32, bf16, or f64 for checks
};

/// Reads it with its weights. Ends are those of generation_config.json, config.json, tokenizer_config.json or of the
/// metadata of a GGUF, all together; of bytes the mark. Throws ConfigError when the model is no language model or has
/// fewer rows than the tokenizer has tokens, IoError when no tokenizer is found.
SavedLm open_saved_lm(const SavedLmSpec& spec);

}  // namespace retort
