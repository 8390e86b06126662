// io/tensor_file.h -- one door to files of named tensors: our checkpoints and the formats of other programs.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace retort {

struct FileTensor {
  std::string name;  ///< as the file has it; in pickles the path to it: "model.layers.0.weight"
  DType dtype = DType::f32;
  Shape shape;
  std::int64_t bytes = 0;      ///< that `read` delivers: the shape's product times the dtype's size
  std::string stored;          ///< the file's own word for the elements: "BF16", "Q4_K", "HalfStorage"
  std::string same_as;         ///< the first tensor that is the same piece of the same storage, if another is
  std::filesystem::path file;  ///< the file with the payload: a shard, where there are several
};

using TextMap = std::map<std::string, std::string, std::less<>>;

/// A file of tensors. Opening reads and checks its structure only; payloads are read one at a time and in pieces, so
/// that memory does not grow with the file. Whatever the bytes, the outcome is an IoError that names the place, or
/// tensors that lie inside the file: no file makes this process crash, hang or take memory out of proportion to it.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile(const TensorFile&) = delete;
  TensorFile& operator=(const TensorFile&) = delete;

  /// "safetensors", "GGUF 3", "PyTorch", "HDF5".
  const std::string& format() const { return format_; }
  /// In the order of the file. Names are unique.
  const std::vector<FileTensor>& tensors() const { return tensors_; }
  /// The tensor of that name, or null.
  const FileTensor* find(std::string_view name) const;
  /// What the file says about itself; numbers as text, lists as JSON.
  const TextMap& metadata() const { return metadata_; }
  /// Tensors that cannot be read, with the reason: of a dtype that Retort does not have, sparse, ...
  const TextMap& unreadable() const { return unreadable_; }

  /// Hands the payload of a tensor of this file to `sink`, row-major and little-endian, in pieces of whole elements.
  /// Throws IoError naming the tensor when the payload is damaged (a bool that is neither 0 nor 1, a checksum).
  void read(const FileTensor& tensor, const ByteSink& sink) const;
  /// The whole payload. By name: also throws IoError when there is no such tensor, or it is unreadable.
  std::vector<std::byte> bytes(const FileTensor& tensor) const;
  std::vector<std::byte> bytes(std::string_view name) const;

 protected:
  explicit TensorFile(const std::filesystem::path& path) : where_(path.string()) {}
  /// Hands over the payload of tensors()[index].
  virtual void stream(std::size_t index, const ByteSink& sink) const = 0;
  /// Appends a tensor whose shape and dtype are set; works out its bytes. Throws IoError when the name is taken or the
  /// shape overflows.
  void add(FileTensor tensor);
  void add_unreadable(const std::string& name, const std::string& reason);

  std::string where_;  ///< the head of errors: the path
  std::string format_;
  TextMap metadata_, unreadable_;

 private:
  std::vector<FileTensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// Opens a file of tensors, whose format its content tells, not its name: safetensors (io/safetensors.h), GGUF
/// (io/gguf.h), what torch.save writes (io/torch_file.h), HDF5 (io/checkpoint.h), or an index of shards: JSON with a
/// `weight_map` from tensors to files beside it. Throws IoError for any other content.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);
/// The same without indices: shards are no indices themselves.
std::unique_ptr<TensorFile> open_single_tensor_file(const std::filesystem::path& path);

/// Product of the extents times `element` bytes. Throws IoError "WHERE: tensor "NAME": .." when an extent is negative
/// or the product overflows.
std::int64_t checked_payload(const Shape& shape, std::int64_t element, const std::string& where,
                             const std::string& name);

}  // namespace retort
