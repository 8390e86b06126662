// distill/convert/convert.h -- files of other programs into checkpoints, with an account of every tensor, and back.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "distill/convert/families.h"
#include "distill/convert/name_table.h"
#include "distill/train/call.h"
#include "io/tensor_file.h"

namespace retort {

/// Where each tensor of a file goes, by its name there, and what the target misses. Without a target architecture every
/// readable tensor is loaded and nothing is missing.
struct Coverage {
  struct Loaded {
    const FileTensor* tensor;
    std::string name;  ///< ours
    DType dtype;       ///< as written: the target's
    Shape shape;       ///< ours
    Reorder order;     ///< what makes ours of the file's
  };
  std::vector<Loaded> loaded;
  std::vector<std::string> missing;                       ///< the target has it, the file has not (our names)
  std::vector<std::string> unexpected;                    ///< the file has it, the target has not
  std::vector<std::string> mismatched;                    ///< with the shapes and dtypes of both
  std::vector<std::string> unreadable;                    ///< with the reason
  std::vector<std::string> dropped;                       ///< by the table
  std::vector<std::pair<std::string, std::string>> tied;  ///< copies (name, same_as) that are not loaded a second time
  std::string library;  ///< whose names the file has, where that was told by the names alone

  /// Nothing missing, unexpected, mismatched or unreadable.
  bool complete() const;
  /// A line of counts, then a line for each tensor that is not plainly loaded.
  std::string text() const;
};

struct ConvertSpec {
  std::filesystem::path in;  ///< a file of tensors, or a folder with one (weights_in)
  NameTable names;
  /// An architecture of distill/train/models.h whose tensors are the target. Without `names`, those of a library are
  /// taken if a tensor marks them (library_names in families.h).
  std::optional<Call> into;
  bool recognise = false;      ///< `into` and, unless given, `names` come from the model's configuration (families.h)
  Tower tower = {};            ///< with `recognise`: which model of a file that has several
  std::string role = "model";  ///< what the checkpoint calls it; jobs then say `init_from: FILE`
  bool partial = false;        ///< write what is there although something is missing, unexpected, ..
};

/// A file to be converted, opened and accounted for. With `into`, f16 and bf16 become f32 where the target is; any
/// other difference of dtype, and any of shape, is a mismatch. Copies are told by the file's own storages, and by the
/// table, whose claims are verified. Throws IoError for files that cannot be read and two tensors of one name,
/// ConfigError for an unknown architecture, copies that differ, and orders that a tensor cannot have.
class Conversion {
 public:
  explicit Conversion(ConvertSpec spec);

  const Coverage& coverage() const { return coverage_; }
  const TensorFile& file() const { return *file_; }
  /// The target, in the normal spelling; "" without one.
  const std::string& arch() const { return arch_; }
  /// Writes the checkpoint, one tensor at a time; the file's metadata become the attributes "foreign.KEY", the table
  /// "names", and what stands beside the file (companions.h) has its name (for a recognised GGUF: the table and the
  /// config.json of the library that defines the model). Throws IoError, naming the first tensors, when the account is
  /// not complete and `partial` does not allow it.
  void write(const std::filesystem::path& out) const;

 private:
  struct Target {
    DType dtype;
    Shape shape;
  };
  std::map<std::string, Target> build_target();
  void check_ties();
  void account(const std::map<std::string, Target>& target);
  void place(const FileTensor& tensor, const std::map<std::string, Target>& target);

  ConvertSpec spec_;
  std::unique_ptr<TensorFile> file_;
  std::string arch_;    ///< of the target
  std::string table_;   ///< by which an export names tensors
  TextMap companions_;  ///< beside the file: config.json, tokenizer.json, ..
  Coverage coverage_;
};

/// `in`, or in a folder its weights: model.safetensors or pytorch_model.bin, their index of shards, or the only .gguf
/// file. Throws IoError when there are none.
std::filesystem::path weights_in(const std::filesystem::path& in);

/// Writes the tensors of a checkpoint, or of any file of tensors, as safetensors under the names that `names` came
/// from; if that is empty, by the table that the conversion noted; with `recognise`, by the table of the architecture's
/// family, with its config.json (families.h). Of a checkpoint of roles, those of `role` (it may be
/// empty where there is one). What a conversion noted comes back: metadata, order of matrices, dtypes that were
/// widened, tied copies, and config.json, tokenizer.json and their like beside `out`, where others are not overwritten.
/// Returns the count of tensors. Throws ConfigError for an unknown role, IoError, or what write_safetensors throws.
std::size_t export_safetensors(const std::filesystem::path& in, const std::filesystem::path& out,
                               const NameTable& names, const std::string& role, bool recognise = false);

}  // namespace retort
