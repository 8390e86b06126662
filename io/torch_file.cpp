// io/torch_file.cpp -- where a checkpoint keeps its pickle and its storages, and strided tensors read row by row.
#include "io/torch_file.h"

#include <algorithm>
#include <cstring>

#include "io/byte_cursor.h"
#include "io/pickle.h"
#include "io/torch_pickle.h"
#include "io/zip.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::string_view kZipMagic = "PK\x03\x04";
/// The first pickle of the old format is this integer.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::int64_t kLegacyProtocol = 1001;
/// Expanded tensors (stride 0) hold more elements than their storage; beyond this they are an attack on the disk.
constexpr std::int64_t kMostExpansion = 16, kFreeExpansion = std::int64_t{1} << 28;

/// Where a storage lies: in the file, or packed in it.
struct StoredBytes {
  std::size_t offset = 0, size = 0;
  const ZipEntry* packed = nullptr;
};

class TorchFile : public TensorFile {
 public:
  explicit TorchFile(const std::filesystem::path& path) : TensorFile(path), file_(path) {
    const auto bytes = file_.bytes();
    const bool zip = bytes.size() >= 4 && std::memcmp(bytes.data(), kZipMagic.data(), 4) == 0;
    zip ? open_zip() : open_legacy();
  }

 private:
  // ---- Zip archives: ROOT/data.pkl, ROOT/data/KEY, ROOT/byteorder. ----

  void open_zip() {
    format_ = "PyTorch";
    entries_ = list_zip(file_.bytes(), where_);
    for (const ZipEntry& entry : entries_) by_name_.emplace(entry.name, &entry);
    const std::string root = find_root();
    if (const ZipEntry* order = find_entry(root + "byteorder"); order != nullptr) {
      if (order->size > 16) throw IoError("{}: an odd \"{}\" of {} bytes", where_, order->name, order->size);
      const auto text = content(*order);
      if (std::string_view(reinterpret_cast<const char*>(text.data()), text.size()) != "little")
        throw IoError("{}: a big-endian checkpoint", where_);
    }
    pickle_ = content(*find_entry(root + "data.pkl"));
    TorchListing listing = list_torch_tensors(read_pickle(pickle_, where_), where_);
    for (const auto& [key, storage] : listing.storages) {
      const ZipEntry* entry = find_entry(root + "data/" + key);
      if (entry == nullptr) throw IoError("{}: storage \"{}\" is not in the archive", where_, key);
      if (storage.element != 0 && static_cast<std::int64_t>(entry->size) != storage.elements * storage.element)
        throw IoError("{}: storage \"{}\" has {} bytes; {} elements of a {} have {}", where_, key, entry->size,
                      storage.elements, storage.type, storage.elements * storage.element);
      stored_[key] = {entry->offset, entry->size, entry->deflated ? entry : nullptr};
    }
    list(std::move(listing));
  }

  std::string find_root() const {
    for (const ZipEntry& entry : entries_)
      if (entry.name == "data.pkl" || entry.name.ends_with("/data.pkl"))
        return entry.name.substr(0, entry.name.size() - std::string_view("data.pkl").size());
    throw IoError("{}: a zip archive without a data.pkl: not written by torch.save", where_);
  }

  const ZipEntry* find_entry(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  std::vector<std::byte> content(const ZipEntry& entry) const {
    if (entry.deflated) return inflate_zip(file_.bytes(), entry, where_);
    const auto bytes = file_.bytes().subspan(entry.offset, entry.size);
    return {bytes.begin(), bytes.end()};
  }

  // ---- The old format: pickles of magic, version, machine, object and keys, then storages in the order of keys. ----

  void open_legacy() {
    format_ = "PyTorch, before 1.6";
    std::span<const std::byte> rest = file_.bytes();
    const auto next = [&] {
      Pickle pickle = read_pickle(rest, where_);
      rest = rest.subspan(pickle.size);
      return pickle;
    };
    const Pickle magic = next();
    const auto* number = magic.as<PickleLong>(magic.root);
    if (number == nullptr || number->bytes != kLegacyMagic)
      throw IoError("{}: a pickle, but not of torch.save; hint: of plain pickles no tensors are read", where_);
    const Pickle version = next();
    const auto* protocol = version.as<std::int64_t>(version.root);
    if (protocol == nullptr || *protocol != kLegacyProtocol)
      throw IoError("{}: an unknown version of PyTorch's old format; known is {}", where_, kLegacyProtocol);
    check_machine(next());
    TorchListing listing = list_torch_tensors(next(), where_);
    place_storages(next(), rest, listing);
    list(std::move(listing));
  }

  void check_machine(const Pickle& machine) const {
    const auto* facts = machine.as<PickleDict>(machine.root);
    if (facts == nullptr) throw IoError("{}: no facts about the machine that wrote it", where_);
    for (const auto& [key, value] : facts->items)
      if (const bool* little = machine.as<bool>(value);
          little != nullptr && machine.text(key) == "little_endian" && !*little)
        throw IoError("{}: a big-endian checkpoint", where_);
  }

  void place_storages(const Pickle& keys, std::span<const std::byte> rest, const TorchListing& listing) {
    const auto* list = keys.as<PickleList>(keys.root);
    if (list == nullptr) throw IoError("{}: no list of storages", where_);
    const std::size_t begin = file_.bytes().size() - rest.size();
    ByteCursor cursor(rest, where_);
    for (const PickleId id : list->items) {
      const std::string key(keys.text(id));
      const auto found = listing.storages.find(key);
      if (found == listing.storages.end()) throw IoError("{}: storage \"{}\" belongs to nothing", where_, key);
      const TorchStorage& storage = found->second;
      if (storage.element == 0)
        throw IoError("{}: storage \"{}\" is a {}, whose size is not known here", where_, key, storage.type);
      const auto elements = cursor.number<std::int64_t>("a storage's size");
      if (elements != storage.elements)
        throw IoError("{}: storage \"{}\" has {} elements; its tensors expect {}", where_, key, elements,
                      storage.elements);
      const auto size = static_cast<std::size_t>(elements * storage.element);
      const std::size_t offset = begin + cursor.offset();
      cursor.take(size, "a storage");
      if (!stored_.emplace(key, StoredBytes{offset, size, nullptr}).second)
        throw IoError("{}: storage \"{}\" comes twice", where_, key);
    }
    for (const auto& [key, storage] : listing.storages)
      if (!stored_.contains(key)) throw IoError("{}: storage \"{}\" is not in the file", where_, key);
  }

  // ---- Both. ----

  void list(TorchListing listing) {
    metadata_ = std::move(listing.scalars);
    std::map<std::string, std::string> first;  // of the same piece of the same storage
    std::int64_t left = kFreeExpansion + kMostExpansion * static_cast<std::int64_t>(file_.bytes().size());
    for (TorchTensor& t : listing.tensors) {
      FileTensor tensor;
      tensor.name = t.name;
      tensor.dtype = t.dtype;
      tensor.shape = t.shape;
      tensor.stored = listing.storages.at(t.storage).type;
      tensor.file = file_.path();
      const std::string piece =
          fmt::format("{} {} {} {} {}", t.storage, name_of(t.dtype), t.offset, t.shape.str(), t.strides.str());
      const auto [same, fresh] = first.emplace(piece, t.name);
      if (!fresh) tensor.same_as = same->second;
      add(std::move(tensor));
      // A packed storage is unpacked whole for each of its tensors.
      const StoredBytes& place = stored_.at(t.storage);
      const auto unpacked = place.packed != nullptr ? static_cast<std::int64_t>(place.size) : 0;
      const std::int64_t cost = std::max(tensors().back().bytes, unpacked);
      if (cost > left)
        throw IoError("{}: tensor \"{}\" claims more than the file holds; got {}", where_, t.name, t.shape.str());
      left -= cost;
      views_.push_back(std::move(t));
    }
    for (const auto& [name, reason] : listing.unreadable) add_unreadable(name, reason);
  }

  void stream(std::size_t index, const ByteSink& sink) const override {
    const TorchTensor& t = views_[index];
    if (t.shape.product() == 0) return;
    const StoredBytes& place = stored_.at(t.storage);
    const std::vector<std::byte> inflated = place.packed != nullptr ? content(*place.packed) : std::vector<std::byte>();
    const auto give = [&](std::size_t offset, std::size_t size) {
      if (place.packed != nullptr)
        sink(std::span(inflated).subspan(offset, size));
      else
        file_.stream(place.offset + offset, size, sink);
    };
    const auto all = place.packed != nullptr ? std::span<const std::byte>(inflated)
                                             : file_.bytes().subspan(place.offset, place.size);
    stream_rows(t, all, give, sink);
  }

  /// Row-major order through strides: runs that lie together are given as they are when long, gathered when short.
  template <class Give>
  static void stream_rows(const TorchTensor& t, std::span<const std::byte> all, const Give& give,
                          const ByteSink& sink) {
    constexpr std::size_t long_run = 1 << 16;
    const auto element = static_cast<std::size_t>(size_of(t.dtype));
    std::int64_t run = 1;
    int outer = t.shape.rank();  // the axes before it are walked
    while (outer > 0 && (t.strides[outer - 1] == run || t.shape[outer - 1] == 1)) run *= t.shape[--outer];
    const std::size_t run_bytes = static_cast<std::size_t>(run) * element;
    std::vector<std::byte> gathered;
    Dims at = Dims::filled(outer, 0);
    std::int64_t position = t.offset;
    while (true) {
      const std::size_t begin = static_cast<std::size_t>(position) * element;
      if (run_bytes >= long_run) {
        give(begin, run_bytes);
      } else {
        const auto piece = all.subspan(begin, run_bytes);
        gathered.insert(gathered.end(), piece.begin(), piece.end());
        if (gathered.size() >= MappedFile::kPiece) {
          sink(gathered);
          gathered.clear();
        }
      }
      int axis = outer - 1;
      while (axis >= 0 && at[axis] + 1 == t.shape[axis]) {
        position -= at[axis] * t.strides[axis];
        at[axis--] = 0;
      }
      if (axis < 0) break;
      ++at[axis];
      position += t.strides[axis];
    }
    if (!gathered.empty()) sink(gathered);
  }

  MappedFile file_;
  std::vector<ZipEntry> entries_;
  std::map<std::string_view, const ZipEntry*> by_name_;
  std::vector<std::byte> pickle_;
  std::map<std::string, StoredBytes> stored_;
  std::vector<TorchTensor> views_;  ///< of tensors(), in their order
};

}  // namespace

bool looks_like_torch(std::span<const std::byte> bytes) {
  if (bytes.size() < 4) return false;
  const auto protocol = static_cast<int>(bytes[1]);
  return std::memcmp(bytes.data(), kZipMagic.data(), 4) == 0 ||
         (bytes[0] == std::byte{0x80} && protocol >= 2 && protocol <= 5);
}

std::unique_ptr<TensorFile> open_torch(const std::filesystem::path& path) { return std::make_unique<TorchFile>(path); }

}  // namespace retort
