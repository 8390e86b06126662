// io/checkpoint_reader.cpp -- the list from a child process, the payload from the mapped file.
#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "io/checkpoint.h"
#include "io/crc32c.h"
#include "io/file.h"
#include "io/hdf5_listing.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// Zeroed memory shared with child processes; pages come into being when they are written.
class SharedMemory {
 public:
  SharedMemory(std::int64_t bytes, const std::string& where) : size_(static_cast<std::size_t>(bytes)) {
    void* start = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) throw MemoryError("{}: no memory to decode a tensor; {} bytes wanted", where, bytes);
    start_ = static_cast<std::byte*>(start);
  }
  SharedMemory(SharedMemory&& other) noexcept : start_(std::exchange(other.start_, nullptr)), size_(other.size_) {}
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory() {
    if (start_ != nullptr) ::munmap(start_, size_);
  }
  std::span<std::byte> bytes() const { return {start_, size_}; }

 private:
  std::byte* start_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

struct CheckpointReader::Impl {
  explicit Impl(const std::filesystem::path& path)
      : where(fmt::format("checkpoint \"{}\"", path.string())), file(path) {
    Hdf5Listing listing = list_hdf5(file.descriptor(), static_cast<std::int64_t>(file.bytes().size()), where);
    attributes = std::move(listing.attributes);
    unreadable = std::move(listing.unreadable);
    for (ListedTensor& tensor : listing.tensors) {
      index.emplace(tensor.entry.name, entries.size());
      entries.push_back(std::move(tensor.entry));
      offsets.push_back(tensor.offset);
    }
    payloads.resize(entries.size());
  }

  bool decoded_by_library(std::size_t i) const { return offsets[i] == ListedTensor::kDecoded; }

  SharedMemory decode(std::size_t i) const {
    SharedMemory memory(entries[i].bytes, where);
    decode_hdf5(file.descriptor(), entries[i], memory.bytes(), where);
    return memory;
  }

  std::span<const std::byte> load(std::size_t i) {
    if (!decoded_by_library(i))
      return file.bytes().subspan(static_cast<std::size_t>(offsets[i]), static_cast<std::size_t>(entries[i].bytes));
    decoded.push_back(decode(i));
    return decoded.back().bytes();
  }

  void stream_mapped(std::size_t i, const ByteSink& sink) const {
    file.stream(static_cast<std::size_t>(offsets[i]), static_cast<std::size_t>(entries[i].bytes), sink);
  }

  void verify(const TensorEntry& entry, const ByteSource& payload) const {
    std::uint32_t crc = 0;
    bool sound = true;
    payload([&](std::span<const std::byte> piece) {
      if (entry.crc) crc = crc32c(piece, crc);
      // Any other value in a C++ bool is undefined behaviour.
      if (entry.dtype == DType::boolean)
        sound = sound && std::none_of(piece.begin(), piece.end(), [](std::byte b) { return b > std::byte{1}; });
    });
    if (entry.crc && crc != *entry.crc)
      throw IoError("{}: tensor \"{}\" is damaged; got CRC-32C {:08x}, the file says {:08x}", where, entry.name, crc,
                    *entry.crc);
    if (!sound) throw IoError("{}: tensor \"{}\" is damaged; a bool is neither 0 nor 1", where, entry.name);
  }

  std::size_t index_of(std::string_view name) const {
    const auto found = index.find(name);
    if (found != index.end()) return found->second;
    const auto reason = unreadable.find(name);
    if (reason != unreadable.end()) throw IoError("{}: cannot read \"{}\"; it is {}", where, name, reason->second);
    throw IoError("{}: no tensor \"{}\"; the file holds {}", where, name, entries.size());
  }

  std::string where;
  MappedFile file;
  std::vector<TensorEntry> entries;
  std::vector<std::int64_t> offsets;
  std::vector<std::optional<std::span<const std::byte>>> payloads;  ///< of the tensors verified so far
  std::vector<SharedMemory> decoded;
  std::map<std::string, std::size_t, std::less<>> index;
  Attributes attributes;
  std::map<std::string, std::string, std::less<>> unreadable;
};

CheckpointReader::CheckpointReader(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
CheckpointReader::~CheckpointReader() = default;

const std::vector<TensorEntry>& CheckpointReader::entries() const { return impl_->entries; }
const Attributes& CheckpointReader::attributes() const { return impl_->attributes; }
const std::map<std::string, std::string, std::less<>>& CheckpointReader::unreadable() const {
  return impl_->unreadable;
}

const TensorEntry* CheckpointReader::find(std::string_view name) const {
  const auto found = impl_->index.find(name);
  return found == impl_->index.end() ? nullptr : &impl_->entries[found->second];
}

std::optional<AttributeValue> CheckpointReader::attribute(std::string_view name) const {
  const auto found = impl_->attributes.find(name);
  if (found == impl_->attributes.end()) return std::nullopt;
  return found->second;
}

std::span<const std::byte> CheckpointReader::bytes(std::string_view name) const {
  const std::size_t i = impl_->index_of(name);
  auto& payload = impl_->payloads[i];
  if (!payload) {
    const auto loaded = impl_->load(i);
    impl_->verify(impl_->entries[i], [&](const ByteSink& sink) { sink(loaded); });
    payload = loaded;
  }
  return *payload;
}

void CheckpointReader::stream(std::string_view name, const ByteSink& sink) const {
  const std::size_t i = impl_->index_of(name);
  if (impl_->payloads[i]) return sink(*impl_->payloads[i]);
  if (!impl_->decoded_by_library(i)) {
    impl_->verify(impl_->entries[i], [&](const ByteSink& checked) { impl_->stream_mapped(i, checked); });
    return impl_->stream_mapped(i, sink);
  }
  const SharedMemory memory = impl_->decode(i);
  impl_->verify(impl_->entries[i], [&](const ByteSink& checked) { checked(memory.bytes()); });
  sink(memory.bytes());
}

}  // namespace retort
