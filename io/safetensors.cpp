// io/safetensors.cpp -- the header's checks, payloads from the mapped file, and the writer.
#include "io/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "io/byte_cursor.h"
#include "io/json.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::uint64_t kLargestHeader = 100'000'000;
constexpr std::size_t kPrefix = 8;
constexpr const char* kMetadataKey = "__metadata__";

/// A dtype of the format: bits of an element, and ours, if there is one.
struct StoredDType {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;
};

/// In the order of the format's own library, by which its writer sorts.
constexpr std::array<StoredDType, 22> kStoredDTypes = {{
    {"BOOL", 8, DType::boolean},
    {"F4", 4, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"U8", 8, DType::u8},
    {"I8", 8, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
    {"I16", 16, {}},
    {"U16", 16, {}},
    {"F16", 16, DType::f16},
    {"BF16", 16, DType::bf16},
    {"I32", 32, DType::i32},
    {"U32", 32, {}},
    {"F32", 32, DType::f32},
    {"C64", 64, {}},
    {"F64", 64, DType::f64},
    {"I64", 64, DType::i64},
    {"U64", 64, {}},
}};

const StoredDType& stored_as(DType dtype) {
  return *std::find_if(kStoredDTypes.begin(), kStoredDTypes.end(), [&](const auto& s) { return s.dtype == dtype; });
}

std::uint64_t header_length(std::span<const std::byte> bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kPrefix);
  return length;
}

class SafetensorsFile : public TensorFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path) : TensorFile(path), file_(path) {
    format_ = "safetensors";
    ByteCursor cursor(file_.bytes(), where_);
    const auto length = cursor.number<std::uint64_t>("the header's length");
    if (length > kLargestHeader)
      throw IoError("{}: header too large; got {} bytes, the format allows {}", where_, length, kLargestHeader);
    const nlohmann::json header = parse_json(cursor.text(length, "the header"), where_, 8);
    if (!header.is_object()) throw IoError("{}: the header is no JSON object", where_);
    data_ = cursor.offset();
    const auto size = static_cast<std::int64_t>(cursor.remaining());
    std::vector<Piece> pieces;
    for (const auto& [name, value] : header.items())
      if (name == kMetadataKey)
        read_metadata(value);
      else
        pieces.push_back(read_entry(name, value));
    // By where they lie; empty ones before what begins at the same place.
    std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    check_cover(pieces, size);
    for (Piece& p : pieces) add_piece(std::move(p));
  }

 private:
  struct Piece {
    std::string name;
    StoredDType stored;
    std::vector<std::int64_t> extents;
    std::int64_t begin, end;
  };

  void read_metadata(const nlohmann::json& value) {
    if (value.is_null()) return;
    if (!value.is_object()) throw IoError("{}: {} is no JSON object", where_, kMetadataKey);
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) throw IoError("{}: {} has a value that is no text; \"{}\"", where_, kMetadataKey, key);
      metadata_[key] = text.get<std::string>();
    }
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& why) const {
    throw IoError("{}: tensor \"{}\": {}", where_, name, why);
  }

  /// The list of sizes under `key`.
  std::vector<std::int64_t> sizes(const std::string& name, const nlohmann::json& entry, const char* key) const {
    const auto found = entry.find(key);
    if (found == entry.end() || !found->is_array()) refuse(name, fmt::format("no list \"{}\"", key));
    std::vector<std::int64_t> list;
    for (const auto& value : *found) {
      if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::uint64_t{INT64_MAX})
        refuse(name, fmt::format("\"{}\" holds what is no size; got {}", key, value.dump()));
      list.push_back(value.get<std::int64_t>());
    }
    return list;
  }

  Piece read_entry(const std::string& name, const nlohmann::json& entry) const {
    if (!entry.is_object()) refuse(name, "its entry is no JSON object");
    for (const auto& [key, value] : entry.items())
      if (key != "dtype" && key != "shape" && key != "data_offsets") refuse(name, fmt::format("unknown \"{}\"", key));
    const auto dtype = entry.find("dtype");
    if (dtype == entry.end() || !dtype->is_string()) refuse(name, "no \"dtype\"");
    const auto known = std::find_if(kStoredDTypes.begin(), kStoredDTypes.end(),
                                    [&](const auto& s) { return s.name == dtype->get_ref<const std::string&>(); });
    if (known == kStoredDTypes.end())
      refuse(name, fmt::format("dtype \"{}\" is none of the format", dtype->get<std::string>()));
    const auto offsets = sizes(name, entry, "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1])
      refuse(name, fmt::format("\"data_offsets\" are not a begin and an end; got {}", entry["data_offsets"].dump()));
    Piece piece{name, *known, sizes(name, entry, "shape"), offsets[0], offsets[1]};
    check_length(piece);
    return piece;
  }

  /// Whether shape and dtype make just the bytes between the offsets.
  void check_length(const Piece& p) const {
    std::int64_t bits = p.stored.bits;
    bool fits = true;
    for (const std::int64_t extent : p.extents) fits = fits && !__builtin_mul_overflow(bits, extent, &bits);
    if (!fits || bits % 8 != 0 || bits / 8 != p.end - p.begin)
      refuse(p.name, fmt::format("shape [{}] of {} does not fill its bytes; got offsets {} to {}",
                                 fmt::join(p.extents, ", "), p.stored.name, p.begin, p.end));
  }

  void check_cover(const std::vector<Piece>& pieces, std::int64_t size) const {
    std::int64_t covered = 0;
    for (const Piece& p : pieces) {
      if (p.begin != covered)
        refuse(p.name,
               fmt::format("{}; it begins at {} of the data, the tensors before it end at {}",
                           p.begin < covered ? "it overlaps another" : "a hole lies before it", p.begin, covered));
      if (p.end > size)
        refuse(p.name, fmt::format("it lies outside the file; it ends at {} of {} bytes of data", p.end, size));
      covered = p.end;
    }
    if (covered != size)
      throw IoError("{}: bytes that belong to no tensor; the tensors end at {} of {} bytes of data", where_, covered,
                    size);
  }

  void add_piece(Piece&& p) {
    if (!p.stored.dtype) return add_unreadable(p.name, fmt::format("of dtype {}", p.stored.name));
    if (p.extents.size() > kMaxRank) return add_unreadable(p.name, fmt::format("of rank {}", p.extents.size()));
    FileTensor tensor;
    tensor.name = std::move(p.name);
    tensor.dtype = *p.stored.dtype;
    tensor.shape = Shape(std::span<const std::int64_t>(p.extents));
    tensor.stored = p.stored.name;
    tensor.file = file_.path();
    add(std::move(tensor));
    begins_.push_back(p.begin);
  }

  void stream(std::size_t index, const ByteSink& sink) const override {
    file_.stream(data_ + static_cast<std::size_t>(begins_[index]), static_cast<std::size_t>(tensors()[index].bytes),
                 sink);
  }

  MappedFile file_;
  std::size_t data_ = 0;              ///< where payloads begin
  std::vector<std::int64_t> begins_;  ///< of tensors(), in the data
};

/// JSON of a text, quoted. Throws ValueError when it is not UTF-8.
std::string quoted(const std::string& text, const std::string& where) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw ValueError("{}: a name or metadata is not UTF-8; got \"{}\"", where, text);
  }
}

std::string make_header(const std::vector<NamedPayload>& tensors, const TextMap& metadata, const std::string& where) {
  std::vector<std::string> entries;
  if (!metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) pairs.push_back(quoted(key, where) + ":" + quoted(value, where));
    entries.push_back(fmt::format("\"{}\":{{{}}}", kMetadataKey, fmt::join(pairs, ",")));
  }
  std::int64_t at = 0;
  for (const NamedPayload& t : tensors) {
    const std::int64_t end = at + checked_payload(t.shape, size_of(t.dtype), where, t.name);
    entries.push_back(fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                  quoted(t.name, where), stored_as(t.dtype).name, fmt::join(t.shape, ","), at, end));
    at = end;
  }
  std::string header = fmt::format("{{{}}}", fmt::join(entries, ","));
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kLargestHeader) throw ValueError("{}: the header would have {} bytes", where, header.size());
  return header;
}

}  // namespace

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  return bytes.size() > kPrefix && header_length(bytes) <= bytes.size() - kPrefix && bytes[kPrefix] == std::byte{'{'};
}

std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& path) {
  return std::make_unique<SafetensorsFile>(path);
}

void write_safetensors(const std::filesystem::path& path, std::vector<NamedPayload> tensors, const TextMap& metadata) {
  const std::string where = path.string();
  std::sort(tensors.begin(), tensors.end(), [](const NamedPayload& a, const NamedPayload& b) {
    return a.dtype != b.dtype ? &stored_as(a.dtype) > &stored_as(b.dtype) : a.name < b.name;
  });
  std::vector<std::string> names;
  for (const NamedPayload& t : tensors) names.push_back(t.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw ValueError("{}: tensor \"{}\" given twice", where, *twice);
  if (std::binary_search(names.begin(), names.end(), kMetadataKey))
    throw ValueError("{}: no tensor may be called {}", where, kMetadataKey);

  const std::string header = make_header(tensors, metadata, where);
  const std::uint64_t length = header.size();
  TemporaryFile file(path);
  file.write_at(std::as_bytes(std::span(&length, 1)), 0);
  file.write_at(bytes_of(header), kPrefix);
  auto at = static_cast<std::int64_t>(kPrefix + header.size());
  for (const NamedPayload& t : tensors) {
    const std::int64_t end = at + t.shape.product() * size_of(t.dtype);
    t.payload([&](std::span<const std::byte> piece) {
      if (std::ssize(piece) > end - at) throw ShapeError("{}: payload of \"{}\" exceeds its shape", where, t.name);
      file.write_at(piece, at);
      at += std::ssize(piece);
    });
    if (at != end) throw ShapeError("{}: payload of \"{}\" lacks {} bytes of its shape", where, t.name, end - at);
  }
  file.commit();
}

}  // namespace retort
