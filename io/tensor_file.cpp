// io/tensor_file.cpp -- what all formats share, our own checkpoints behind the same door, and which reader a file gets.
#include "io/tensor_file.h"

#include <algorithm>
#include <cstring>

#include "io/checkpoint.h"
#include "io/gguf.h"
#include "io/safetensors.h"
#include "io/tensor_shards.h"
#include "io/torch_file.h"
#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;

std::int64_t checked_payload(const Shape& shape, std::int64_t element, const std::string& where,
                             const std::string& name) {
  // An extent of 0 counts as 1 towards the limit, so that strides cannot overflow either.
  std::int64_t bytes = element;
  bool fits = true, empty = false;
  for (const std::int64_t extent : shape) {
    fits = fits && extent >= 0 && !__builtin_mul_overflow(bytes, std::max<std::int64_t>(extent, 1), &bytes);
    empty = empty || extent == 0;
  }
  if (!fits) throw IoError("{}: tensor \"{}\" has an impossible shape; got {}", where, name, shape.str());
  return empty ? 0 : bytes;
}

const FileTensor* TensorFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void TensorFile::add(FileTensor tensor) {
  tensor.bytes = checked_payload(tensor.shape, size_of(tensor.dtype), where_, tensor.name);
  if (unreadable_.contains(tensor.name) || !index_.emplace(tensor.name, tensors_.size()).second)
    throw IoError("{}: two tensors are called \"{}\"", where_, tensor.name);
  tensors_.push_back(std::move(tensor));
}

void TensorFile::add_unreadable(const std::string& name, const std::string& reason) {
  if (index_.contains(name) || !unreadable_.emplace(name, reason).second)
    throw IoError("{}: two tensors are called \"{}\"", where_, name);
}

void TensorFile::read(const FileTensor& tensor, const ByteSink& sink) const {
  const std::size_t index = index_.at(tensor.name);
  std::int64_t delivered = 0;
  stream(index, [&](std::span<const std::byte> piece) {
    delivered += std::ssize(piece);
    // Any other value in a C++ bool is undefined behaviour.
    if (tensor.dtype == DType::boolean &&
        std::any_of(piece.begin(), piece.end(), [](std::byte b) { return b > std::byte{1}; }))
      throw IoError("{}: tensor \"{}\" is damaged; a bool is neither 0 nor 1", where_, tensor.name);
    sink(piece);
  });
  if (delivered != tensor.bytes)
    throw InternalError("{}: tensor \"{}\" delivered {} of {} bytes", where_, tensor.name, delivered, tensor.bytes);
}

std::vector<std::byte> TensorFile::bytes(const FileTensor& tensor) const {
  std::vector<std::byte> all;
  all.reserve(static_cast<std::size_t>(tensor.bytes));
  read(tensor, [&](std::span<const std::byte> piece) { all.insert(all.end(), piece.begin(), piece.end()); });
  return all;
}

std::vector<std::byte> TensorFile::bytes(std::string_view name) const {
  if (const FileTensor* tensor = find(name)) return bytes(*tensor);
  const auto reason = unreadable_.find(name);
  if (reason != unreadable_.end()) throw IoError("{}: cannot read \"{}\"; it is {}", where_, name, reason->second);
  throw IoError("{}: no tensor \"{}\"; the file holds {}", where_, name, tensors_.size());
}

namespace {

class Hdf5TensorFile : public TensorFile {
 public:
  explicit Hdf5TensorFile(const fs::path& path) : TensorFile(path), reader_(path) {
    format_ = "HDF5";
    for (const auto& [name, value] : reader_.attributes())
      metadata_[name] = std::visit([](const auto& v) { return fmt::format("{}", v); }, value);
    unreadable_ = reader_.unreadable();
    for (const TensorEntry& entry : reader_.entries()) {
      FileTensor tensor;
      tensor.name = entry.name;
      tensor.dtype = entry.dtype;
      tensor.shape = entry.shape;
      tensor.stored = entry.crc ? fmt::format("crc {:08x}", *entry.crc) : "no checksum";
      tensor.file = path;
      add(std::move(tensor));
    }
  }

 private:
  void stream(std::size_t index, const ByteSink& sink) const override { reader_.stream(tensors()[index].name, sink); }

  CheckpointReader reader_;
};

/// HDF5 allows a block of other things before its own, of 512 bytes or a power of two times as many.
bool looks_like_hdf5(std::span<const std::byte> bytes) {
  constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
  for (std::size_t at = 0; at + signature.size() <= bytes.size(); at = at == 0 ? 512 : 2 * at)
    if (std::memcmp(bytes.data() + at, signature.data(), signature.size()) == 0) return true;
  return false;
}

bool looks_like_json(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 64));
  const std::size_t first = head.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && head[first] == '{';
}

}  // namespace

std::unique_ptr<TensorFile> open_single_tensor_file(const fs::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  // The one signature that may stand behind other bytes comes last.
  if (looks_like_safetensors(bytes)) return open_safetensors(path);
  if (looks_like_gguf(bytes)) return open_gguf(path);
  if (looks_like_torch(bytes)) return open_torch(path);
  if (looks_like_hdf5(bytes)) return std::make_unique<Hdf5TensorFile>(path);
  throw IoError(
      "{}: of no format known here; got {} bytes; known are safetensors, GGUF, PyTorch, HDF5, and JSON indices of "
      "shards of these",
      path.string(), bytes.size());
}

std::unique_ptr<TensorFile> open_tensor_file(const fs::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  // JSON has no signature: the length that begins a safetensors file may look like a brace.
  if (!looks_like_safetensors(bytes) && !looks_like_hdf5(bytes) && looks_like_json(bytes))
    return open_tensor_shards(path);
  return open_single_tensor_file(path);
}

}  // namespace retort
