// io/tensor_shards.cpp -- the index says which shard holds a tensor; the shards are opened and held to it.
#include "io/tensor_shards.h"

#include <set>

#include "io/json.h"
#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;

namespace {

constexpr std::uintmax_t kLargestIndex = 100'000'000;

class TensorShards : public TensorFile {
 public:
  explicit TensorShards(const fs::path& path) : TensorFile(path) {
    const auto size = fs::file_size(path);
    if (size > kLargestIndex) throw IoError("{}: too large for an index of shards; got {} bytes", where_, size);
    const nlohmann::json index = parse_json(read_file(path), where_);
    const auto map = index.find("weight_map");
    if (map == index.end() || !map->is_object())
      throw IoError("{}: JSON, but no index of shards; it has no object \"weight_map\"", where_);
    if (const auto metadata = index.find("metadata"); metadata != index.end() && metadata->is_object())
      for (const auto& [key, value] : metadata->items())
        metadata_[key] = value.is_string() ? value.get<std::string>() : value.dump();
    std::map<std::string, std::set<std::string>> placed;
    for (const auto& [name, file] : map->items()) {
      if (!file.is_string()) throw IoError("{}: tensor \"{}\" has no file name; got {}", where_, name, file.dump());
      placed[file.get<std::string>()].insert(name);
    }
    for (const auto& [file, names] : placed) open_shard(path.parent_path(), file, names);
    format_ = fmt::format("{} of {} shards", shards_.empty() ? "index" : shards_.front()->format(), shards_.size());
  }

 private:
  void open_shard(const fs::path& folder, const std::string& file, const std::set<std::string>& names) {
    if (file.empty() || file.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos || file == "." ||
        file == "..")
      throw IoError("{}: a shard is a file in the same folder; got \"{}\"", where_, file);
    const fs::path path = folder / file;
    shards_.push_back(open_single_tensor_file(path));
    const TensorFile& shard = *shards_.back();
    for (const FileTensor& tensor : shard.tensors()) {
      if (!names.contains(tensor.name)) {
        foreign(tensor.name, file);
        continue;
      }
      add(tensor);
      places_.push_back({&shard, &tensor});
    }
    for (const auto& [name, reason] : shard.unreadable())
      if (names.contains(name))
        add_unreadable(name, reason);
      else
        foreign(name, file);
    for (const std::string& name : names)
      if (shard.find(name) == nullptr && !shard.unreadable().contains(name))
        throw IoError("{}: tensor \"{}\" is not in \"{}\", where the index places it", where_, name, file);
    for (const auto& [key, value] : shard.metadata()) metadata_.emplace(key, value);
  }

  /// Under a name of its own: the index may have placed a tensor of that name in another shard.
  void foreign(const std::string& name, const std::string& file) {
    add_unreadable(fmt::format("{}: {}", file, name), "not placed in this shard by the index");
  }

  void stream(std::size_t index, const ByteSink& sink) const override {
    places_[index].shard->read(*places_[index].tensor, sink);
  }

  struct Place {
    const TensorFile* shard;
    const FileTensor* tensor;
  };
  std::vector<std::unique_ptr<TensorFile>> shards_;
  std::vector<Place> places_;  ///< of tensors(), in their order
};

}  // namespace

std::unique_ptr<TensorFile> open_tensor_shards(const fs::path& path) { return std::make_unique<TensorShards>(path); }

}  // namespace retort
